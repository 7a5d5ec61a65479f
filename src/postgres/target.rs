//! Which server, with which credentials: a property always beats the secret.

use tokio_postgres::config::ChannelBinding;

use crate::credentials::{Credentials, Password};
use crate::problem::Problem;
use crate::request::{Authentication, ConnectionProperties, is_host, is_name};
use crate::tls::SslMode;

/// `PostgreSQL`'s port.
const DEFAULT_PORT: u16 = 5432;

/// The database that every server has.
const DEFAULT_DATABASE: &str = "postgres";

/// A server and everything needed to connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its name or address.
    pub host: String,
    /// Its TCP port.
    pub port: u16,
    /// The role to log in as.
    pub username: String,
    /// How the role authenticates.
    pub login: Login,
    /// The database that the secret names, else `postgres`.
    pub database: String,
    /// What RDS calls the server, where the secret or the name of its endpoint tells.
    pub rds: Option<RdsIdentifier>,
    /// How the server proves who it is.
    pub ssl_mode: SslMode,
    /// Extra roots to trust, as PEM text.
    pub ssl_root_cert: Option<String>,
    /// `Require`: only SCRAM that is bound to the TLS connection may be spoken, since it gives a
    /// server nothing that it could use elsewhere.
    pub channel_binding: ChannelBinding,
}

/// How the role authenticates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Login {
    /// The secret's password.
    Password(Password),
    /// A token, signed anew for each connection.
    Iam,
}

/// The hosts that the operator of the function allows: its environment variable `ALLOWED_HOSTS`.
#[derive(Debug, Clone, Default)]
pub struct AllowedHosts {
    /// The function connects to no others.
    only: bool,
    /// In lower case: `.example.com` is the end of a name, `example.com` also the name itself.
    entries: Vec<String>,
}

impl AllowedHosts {
    /// Reads the variable's text: entries with commas between them, `only:` before them or not.
    pub fn new(text: &str) -> Self {
        let text = text.trim().to_ascii_lowercase();
        let list = text.strip_prefix("only:");
        let entries = list.unwrap_or(&text).split(',').map(|entry| entry.trim().to_owned());
        Self { only: list.is_some(), entries: entries.filter(|entry| !entry.is_empty()).collect() }
    }

    fn has(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        self.entries.iter().any(|entry| {
            let rest = host.strip_suffix(entry.as_str());
            rest.is_some_and(|rest| {
                rest.is_empty() || rest.ends_with('.') || entry.starts_with('.')
            })
        })
    }
}

/// What RDS calls a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RdsIdentifier {
    /// `DBInstanceIdentifier`.
    Instance(String),
    /// `DBClusterIdentifier`.
    Cluster(String),
}

impl RdsIdentifier {
    /// What the name of an endpoint tells: `app.abc.eu-west-1.rds.amazonaws.com` is an instance's,
    /// `app.cluster-abc...` and `app.cluster-ro-abc...` a cluster's. Those of proxies and custom
    /// endpoints do not tell.
    fn of_host(host: &str) -> Option<Self> {
        let of_china =
            || host.strip_suffix(".amazonaws.com.cn")?.rsplit_once(".rds").map(|it| it.0);
        let mut labels = host.strip_suffix(".rds.amazonaws.com").or_else(of_china)?.split('.');
        let (name, kind) = (labels.next()?.to_owned(), labels.next()?);
        if kind.starts_with("proxy-") || kind.starts_with("cluster-custom-") {
            return None;
        }
        let is_cluster = kind.starts_with("cluster-");
        Some(if is_cluster { Self::Cluster(name) } else { Self::Instance(name) })
    }
}

impl Target {
    /// `host:port`.
    pub fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

/// Why there is no target.
#[derive(Debug)]
pub struct Error {
    /// What is missing or wrong.
    pub problems: Vec<Problem>,
    /// Whether the operator forbids the host.
    pub is_forbidden: bool,
}

/// Puts the properties and the secret together.
///
/// # Errors
/// Everything that is missing, or wrong.
pub fn resolve(
    properties: &ConnectionProperties,
    credentials: Credentials,
    allowed: &AllowedHosts,
) -> Result<Target, Error> {
    let mut problems = Vec::new();
    // The secret of `PluginsFrom` has to say it all.
    let mut lacks = |key: &str, sentence: &str| {
        problems.push(if properties.is_reference {
            Problem::new(format!(
                "the secret of `PluginsFrom` has no usable `{key}`: add it there (`Host`, `Port` and \
                 `Username` are about the server that is changed)"
            ))
        } else {
            Problem::new(sentence)
        });
    };
    let is_secrets_host = properties.host.is_none() || properties.host == credentials.host;
    let host = properties.host.clone().or(credentials.host);
    let rds = credentials
        .cluster
        .map(RdsIdentifier::Cluster)
        .or(credentials.instance.map(RdsIdentifier::Instance))
        .filter(|_| is_secrets_host)
        .or_else(|| RdsIdentifier::of_host(host.as_deref()?));
    if host.is_none() {
        lacks(
            "host",
            "neither the secret nor the template says which server: set `Host` (the secret that RDS \
             manages itself, or one whose attachment is deleted, holds no host)",
        );
    }
    let username = properties.username.clone().or(credentials.username);
    if username.is_none() {
        lacks("username", "neither the secret nor the template says which role: set `Username`");
    }
    let database = credentials.database.unwrap_or_else(|| DEFAULT_DATABASE.to_owned());
    let port = match (properties.port, credentials.port.as_deref()) {
        (Some(port), _) => port,
        (None, None) => DEFAULT_PORT,
        (None, Some(text)) => text.trim().parse().unwrap_or(0),
    };
    // What the template says was checked with its other properties.
    let name = "a name without control characters";
    let is_right_host = host.as_deref().is_none_or(is_host);
    for (is_right, key, expected, property) in [
        (is_right_host, "host", "the name or the address of a server", "Host"),
        (port != 0, "port", "a number from 1 to 65535", "Port"),
        (username.as_deref().is_none_or(is_name), "username", name, "Username"),
        (is_name(&database), "dbname", name, "Databases"),
    ] {
        if !is_right {
            lacks(
                key,
                &format!("the secret's `{key}` is not {expected}: correct it, or set `{property}`"),
            );
        }
    }
    let login = match (properties.authentication, credentials.password) {
        (Authentication::Iam, _) => Some(Login::Iam),
        (Authentication::Password, password) => password.map(Login::Password),
    };
    if login.is_none() {
        lacks(
            "password",
            "the secret has no `password`: add it there, or use `Authentication: IAM`",
        );
    }
    let is_forbidden =
        is_right_host && host.as_deref().is_some_and(|host| allowed.only && !allowed.has(host));
    if let Some(host) = host.as_deref().filter(|_| is_forbidden) {
        problems.push(Problem::new(format!(
            "this function may not connect to `{host}`: name a host that its environment variable \
             ALLOWED_HOSTS lists, or have this one added to the parameter `AllowedHosts` of the \
             function's stack"
        )));
    }
    match (host, username, login) {
        (Some(host), Some(username), Some(login)) if problems.is_empty() => Ok(Target {
            channel_binding: channel_binding(properties, &host, allowed),
            host,
            port,
            username,
            login,
            database,
            rds,
            ssl_mode: properties.ssl_mode,
            ssl_root_cert: properties.ssl_root_cert.clone(),
        }),
        _ => Err(Error { problems, is_forbidden }),
    }
}

/// A password goes where the secret says. Where the template says where, by a host, a port, a root
/// or a certificate that proves less, it must be of no use to a server that responds there, unless the
/// server proves to be one that the operator allows. A token is signed for its host anyway.
fn channel_binding(
    properties: &ConnectionProperties,
    host: &str,
    allowed: &AllowedHosts,
) -> ChannelBinding {
    let says_where = properties.host.is_some()
        || properties.port.is_some()
        || properties.ssl_root_cert.is_some()
        || matches!(properties.ssl_mode, SslMode::VerifyCa | SslMode::Require);
    let is_proven =
        properties.ssl_mode == SslMode::VerifyFull && properties.ssl_root_cert.is_none();
    if properties.authentication == Authentication::Password
        && says_where
        && !(is_proven && allowed.has(host))
    {
        ChannelBinding::Require
    } else {
        ChannelBinding::Prefer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_an_endpoint_tells_what_it_is_of() {
        let instance = |it: &str| Some(RdsIdentifier::Instance(it.to_owned()));
        let cluster = |it: &str| Some(RdsIdentifier::Cluster(it.to_owned()));
        for (host, id) in [
            ("app.abc123.eu-west-1.rds.amazonaws.com", instance("app")),
            ("app.abc123.rds.cn-north-1.amazonaws.com.cn", instance("app")),
            ("app.abc123.cn-north-1.rds.amazonaws.com.cn", instance("app")),
            ("app.cluster-abc123.eu-west-1.rds.amazonaws.com", cluster("app")),
            ("app.cluster-ro-abc123.eu-west-1.rds.amazonaws.com", cluster("app")),
            ("app.cluster-custom-abc123.eu-west-1.rds.amazonaws.com", None),
            ("app.proxy-abc123.eu-west-1.rds.amazonaws.com", None),
            ("db.example.com", None),
        ] {
            assert_eq!(RdsIdentifier::of_host(host), id, "{host}");
        }
    }

    #[test]
    fn an_allowed_host_is_named_or_ends_like_an_entry() {
        let allowed = AllowedHosts::new(" .rds.amazonaws.com, Example.com ,,10.0.0.5");
        for host in ["db.x.rds.amazonaws.com", "example.com", "DB.EXAMPLE.com", "10.0.0.5"] {
            assert!(allowed.has(host), "{host}");
        }
        for host in ["rds.amazonaws.com", "evilexample.com", "example.com.evil", "10.0.0.50", ""] {
            assert!(!allowed.has(host), "{host}");
        }
        for nothing in ["", " ", ",", "only:"] {
            assert!(!AllowedHosts::new(nothing).has("example.com"), "`{nothing}`");
        }
        assert!(AllowedHosts::new("only: example.com").has("example.com"));
        assert!(AllowedHosts::new("only:").only && AllowedHosts::new(" Only:x").only);
        assert!(!allowed.only);
    }
}
