//! Which server, with which credentials: the template's word before the secret's.

use crate::password::Password;
use crate::request::{Authentication, Place, SslMode};
use crate::secret::Credentials;

/// `PostgreSQL`'s port.
const DEFAULT_PORT: u16 = 5432;

/// The database that every server has.
const DEFAULT_DATABASE: &str = "postgres";

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
}

/// What the server is shown to let us in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Login {
    /// The secret's password.
    Password(Password),
    /// A token, signed anew for each connection.
    Iam,
}

/// What neither the template nor the secret says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// No host.
    #[error(
        "neither the secret nor the template says which server: set `Host` (the secret that RDS \
         manages itself, or one whose attachment is deleted, holds no host)"
    )]
    NoHost,
    /// A host that cannot be one.
    #[error("`Host` must be the DNS name or the address of a server, not a path or a list")]
    BadHost,
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
    /// A port that cannot be one.
    #[error("the secret's `port` is not a number from 1 to 65535: mend it, or set `Port`")]
    BadPort,
}

/// Puts the template's word and the secret's together.
///
/// # Errors
/// Everything that is missing.
pub fn resolve(place: &Place, credentials: Credentials) -> Result<Target, Vec<Problem>> {
    let mut problems = Vec::new();
    let host = place.host.clone().or(credentials.host);
    let lacks = |problem, name| {
        if place.is_reference { Problem::NotInReference(name) } else { problem }
    };
    match &host {
        None => problems.push(lacks(Problem::NoHost, "host")),
        Some(host) if host.contains(['/', ',', ' ']) => {
            problems.push(lacks(Problem::BadHost, "host"));
        }
        Some(_) => {}
    }
    let username = place.username.clone().or(credentials.username);
    if username.is_none() {
        problems.push(lacks(Problem::NoUsername, "username"));
    }
    let port = match (place.port, credentials.port.as_deref()) {
        (Some(port), _) => port,
        (None, None) => DEFAULT_PORT,
        (None, Some(text)) => text.trim().parse().unwrap_or(0),
    };
    if port == 0 {
        problems.push(lacks(Problem::BadPort, "port"));
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
            host,
            port,
            username,
            login,
            database: credentials.database.unwrap_or_else(|| DEFAULT_DATABASE.to_owned()),
            ssl_mode: place.ssl_mode,
            ssl_root_cert: place.ssl_root_cert.clone(),
        }),
        _ => Err(problems),
    }
}
