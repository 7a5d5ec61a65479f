//! Which server, with which credentials: the template's word before the secret's.

use tokio_postgres::config::ChannelBinding;

use crate::aws::secrets_manager::Credentials;
use crate::password::Password;
use crate::request::{Authentication, Place, SslMode};

/// `PostgreSQL`'s port.
const DEFAULT_PORT: u16 = 5432;

/// The database that every server has.
const DEFAULT_DATABASE: &str = "postgres";

/// The longest name that DNS knows.
const LONGEST_HOST: usize = 253;

/// What a role and a database have.
const NAME: &str = "a name without control characters";

/// A server and everything needed to get in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its name or address.
    pub host: String,
    /// Its TCP port.
    pub port: u16,
    /// The role to log in as.
    pub username: String,
    /// What the server is shown.
    pub login: Login,
    /// The database that the secret names, else `postgres`.
    pub database: String,
    /// How the server proves who it is.
    pub ssl_mode: SslMode,
    /// Extra roots to trust, as PEM text.
    pub ssl_root_cert: Option<String>,
    /// `Require`: only SCRAM that is bound to the TLS connection may be spoken, since it gives a
    /// server nothing that it could use elsewhere.
    pub channel_binding: ChannelBinding,
}

/// What the server is shown to let us in.
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

/// What neither the template nor the secret says, or what they may not say.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// No host.
    #[error(
        "neither the secret nor the template says which server: set `Host` (the secret that RDS \
         manages itself, or one whose attachment is deleted, holds no host)"
    )]
    NoHost,
    /// A host that the operator does not allow.
    #[error(
        "this function may not connect to `{0}`: name a host that its environment variable \
         ALLOWED_HOSTS lists, or have this one added to the parameter `AllowedHosts` of the \
         function's stack"
    )]
    NotAllowed(String),
    /// No role.
    #[error("neither the secret nor the template says which role: set `Username`")]
    NoUsername,
    /// No password.
    #[error("the secret has no `password`")]
    NoPassword,
    /// The secret of `PluginsFrom` has to say it all.
    #[error(
        "the secret of `PluginsFrom` has no usable `{0}`: add it there (`Host`, `Port` and \
         `Username` are about the server that is changed)"
    )]
    NotInReference(&'static str),
    /// The secret has it, in a form that cannot be right.
    #[error("the secret's `{0}` is not {1}: mend it, or set `{2}`")]
    Malformed(&'static str, &'static str, &'static str),
}

/// Whether a text can be the name or the address of a server.
pub fn is_host(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte);
    text.len() <= LONGEST_HOST && text.bytes().all(fits)
}

/// Whether a name has no control characters.
pub fn is_plain(name: &str) -> bool {
    !name.contains(char::is_control)
}

/// Puts the template's word and the secret's together.
///
/// # Errors
/// Everything that is missing.
pub fn resolve(
    place: &Place,
    credentials: Credentials,
    allowed: &AllowedHosts,
) -> Result<Target, Vec<Problem>> {
    let mut problems = Vec::new();
    let host = place.host.clone().or(credentials.host);
    let lacks = |problem, name| {
        if place.is_reference { Problem::NotInReference(name) } else { problem }
    };
    match &host {
        None => problems.push(lacks(Problem::NoHost, "host")),
        Some(host) if is_host(host) && allowed.only && !allowed.has(host) => {
            problems.push(Problem::NotAllowed(host.clone()));
        }
        Some(_) => {}
    }
    let username = place.username.clone().or(credentials.username);
    if username.is_none() {
        problems.push(lacks(Problem::NoUsername, "username"));
    }
    let database = credentials.database.unwrap_or_else(|| DEFAULT_DATABASE.to_owned());
    let port = match (place.port, credentials.port.as_deref()) {
        (Some(port), _) => port,
        (None, None) => DEFAULT_PORT,
        (None, Some(text)) => text.trim().parse().unwrap_or(0),
    };
    // What the template says was judged with its other properties.
    for (right, key, expected, property) in [
        (
            host.as_deref().is_none_or(is_host),
            "host",
            "the name or the address of a server",
            "Host",
        ),
        (port != 0, "port", "a number from 1 to 65535", "Port"),
        (username.as_deref().is_none_or(is_plain), "username", NAME, "Username"),
        (is_plain(&database), "dbname", NAME, "Databases"),
    ] {
        if !right {
            problems.push(lacks(Problem::Malformed(key, expected, property), key));
        }
    }
    let login = match (place.authentication, credentials.password) {
        (Authentication::Iam, _) => Some(Login::Iam),
        (Authentication::Password, password) => password.map(Login::Password),
    };
    if login.is_none() {
        problems.push(Problem::NoPassword);
    }
    match (host, username, login) {
        (Some(host), Some(username), Some(login)) if problems.is_empty() => Ok(Target {
            channel_binding: channel_binding(place, &host, allowed),
            host,
            port,
            username,
            login,
            database,
            ssl_mode: place.ssl_mode,
            ssl_root_cert: place.ssl_root_cert.clone(),
        }),
        _ => Err(problems),
    }
}

/// A password goes where the secret says. Where the template says where, by a host, a port, a root
/// or a certificate that proves less, it must be of no use to whoever answers there, unless the
/// server proves to be one that the operator allows. A token is signed for its host anyway.
fn channel_binding(place: &Place, host: &str, allowed: &AllowedHosts) -> ChannelBinding {
    let says_where = place.host.is_some()
        || place.port.is_some()
        || place.ssl_root_cert.is_some()
        || matches!(place.ssl_mode, SslMode::VerifyCa | SslMode::Require);
    let is_proven = place.ssl_mode == SslMode::VerifyFull && place.ssl_root_cert.is_none();
    if place.authentication == Authentication::Password
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
