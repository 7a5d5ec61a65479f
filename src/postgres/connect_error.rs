//! An attempt to connect that failed: why, whether it may pass, and what to do.

use std::time::Duration;

use tokio_postgres::error::SqlState;

use crate::postgres::target::{Login, Target};
use crate::request::SslMode;
use crate::text::chain;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody let us in before time ran out.
    #[error("gave up waiting for a connection to {place}: {last}; {remedy}")]
    GaveUp {
        /// `host:port`.
        place: String,
        /// The last failure.
        last: String,
        /// What to do.
        remedy: &'static str,
        /// Nobody is there, or nobody answers.
        gone: bool,
    },
    /// The database is not there, or lets nobody in.
    #[error("cannot connect to {place}: {why}; {remedy}")]
    Closed {
        /// `host:port`.
        place: String,
        /// What the server said.
        why: String,
        /// What to do.
        remedy: String,
    },
    /// All connections of the database are taken; the server has others.
    #[error("gave up waiting for a connection to {place}: {why}; {FULL}")]
    Full {
        /// `host:port`.
        place: String,
        /// What the server said.
        why: String,
    },
    /// The server refused us, for good.
    #[error("cannot connect to {place}: {why}; {remedy}")]
    Refused {
        /// `host:port`.
        place: String,
        /// What it said.
        why: String,
        /// What to do.
        remedy: String,
    },
    /// The password is not the role's.
    #[error(
        "cannot connect to {place}: {why}; the secret was read again, as AWSCURRENT, \
         AWSPENDING and AWSPREVIOUS{waited}, and none of them has the password: rotate the secret, \
         or set the role's password to what it says"
    )]
    Password {
        /// `host:port`.
        place: String,
        /// What the server said.
        why: String,
        /// For how long, where a rotation might have been under way.
        waited: String,
    },
}

impl Error {
    /// The same after so long a wait for a rotation.
    #[must_use]
    pub fn after(mut self, wait: Duration) -> Self {
        if let Self::Password { waited, .. } = &mut self
            && !wait.is_zero()
        {
            *waited = format!(", for {} s, since they differ", wait.as_secs());
        }
        self
    }
}

/// A failure to connect that may pass.
#[derive(Default)]
pub struct Passing {
    /// What was met.
    pub why: String,
    /// What to do if it does not pass.
    pub remedy: &'static str,
    /// How long it may last.
    pub kind: Kind,
}

/// What kind of failure it is: how long it may last.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub enum Kind {
    /// Nobody is there: refused, or the name is not found.
    Absent,
    /// Nobody answers.
    Silent,
    /// It is one of those that pass soon, or not at all.
    Fresh,
    /// All connections of the one database are taken.
    Full,
    /// It is there, and not ready yet.
    #[default]
    Busy,
}

/// What to do where nobody answers.
pub const SILENT: &str = "see that the security group of the database lets the function in on that \
     port, and that the function's subnets have a route there";
const UNRESOLVED: &str = "see that the host is right, and that the function's VPC resolves it";
const FULL: &str = "see who is connected to that database, and its limit (`ALTER DATABASE ... CONNECTION \
     LIMIT`)";
const NOT_UP: &str = "see that the server is up, and listens on that port";

const NO_WAY: &str = "the server asks for a way to log in that this function does not have: let \
     pg_hba.conf ask this role for `scram-sha-256`, `md5` or `password`";

const NOT_BOUND: &str = "the server asked for the password in a way in which it could be passed on \
     (not by SCRAM with channel binding), so nothing was sent: leave `Host`, `Port`, `SslRootCert` \
     and `SslMode` out and put the host into the secret, or have the host added to \
     `AllowedHosts`, a parameter of the function's stack (its variable ALLOWED_HOSTS), which counts \
     under `verify-full` without `SslRootCert`";

const EXPIRED: &str = "the server's certificate has expired: renew it (on RDS: give the instance \
     a certificate authority that is still valid, `CACertificateIdentifier`)";
const WRONG_NAME: &str = "the server's certificate does not name this host: use a name that it \
     has, or `SslMode: verify-ca`, which compares no names";
const WRONG_AUTHORITY: &str = "the server's certificate is of an authority that is not trusted \
     here: give that one in `SslRootCert` (the regions of GovCloud and China, and private \
     authorities, are not built in)";

/// What a failed attempt means.
///
/// # Errors
/// It will not pass.
pub fn judged(
    error: &tokio_postgres::Error,
    target: &Target,
    database: &str,
    place: &str,
) -> Result<Passing, Error> {
    let why = chain(error);
    let passing = |remedy, kind| Ok(Passing { why: why.clone(), remedy, kind });
    let refused = |remedy: &str| {
        Err(Error::Refused { place: place.to_owned(), why: why.clone(), remedy: remedy.to_owned() })
    };
    let Some(said) = error.as_db_error() else {
        let fails = |words: &str| why.contains(words);
        return if fails("certificate verify failed") {
            refused(if fails("has expired") {
                EXPIRED
            } else if fails("mismatch") {
                WRONG_NAME
            } else {
                WRONG_AUTHORITY
            })
        } else if fails("server does not support TLS") {
            refused("turn TLS on there, or, on a network that you trust, use `SslMode: disable`")
        } else if fails("server did not use channel binding") {
            refused(NOT_BOUND)
        } else if fails("SCRAM verification error") {
            refused("see that the host is right: another server may have answered")
        } else if fails("SCRAM iteration count") {
            refused("lower `scram_iterations` there, and set the password again")
        } else if fails("authentication error: unsupported") {
            refused(NO_WAY)
        } else if fails("authentication error") || fails("unexpected message from server") {
            refused("see that the host and the port are those of a PostgreSQL server")
        } else if fails("TLS handshake")
            && !["EOF", "reset", "closed"].iter().any(|word| fails(word))
        {
            refused(
                "the server and this function cannot agree on TLS: see that it speaks TLS 1.2 or later",
            )
        } else if fails("failed to lookup address") {
            passing(UNRESOLVED, Kind::Absent)
        } else if fails("timed out") {
            passing(SILENT, Kind::Silent)
        } else if fails("refused") {
            passing(NOT_UP, Kind::Absent)
        } else {
            passing(NOT_UP, Kind::Busy)
        };
    };
    match *said.code() {
        SqlState::INVALID_PASSWORD if target.login != Login::Iam => {
            Err(Error::Password { place: place.to_owned(), why, waited: String::new() })
        }
        SqlState::TOO_MANY_CONNECTIONS if said.routine() == Some("CheckMyDatabase") => {
            passing(FULL, Kind::Full)
        }
        SqlState::CANNOT_CONNECT_NOW
        | SqlState::ADMIN_SHUTDOWN
        | SqlState::CRASH_SHUTDOWN
        | SqlState::TOO_MANY_CONNECTIONS => passing(NOT_UP, Kind::Busy),
        SqlState::INVALID_CATALOG_NAME => Err(Error::Closed {
            place: place.to_owned(),
            why,
            remedy: format!(
                "create database `{database}` first, or name another one (`Databases`, or the secret's \
                 `dbname`)"
            ),
        }),
        SqlState::INSUFFICIENT_PRIVILEGE | SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE => {
            Err(Error::Closed {
                place: place.to_owned(),
                why,
                remedy: format!("let role `{}` connect to `{database}`", target.username),
            })
        }
        SqlState::INVALID_AUTHORIZATION_SPECIFICATION if target.ssl_mode == SslMode::Disable => {
            refused("the server may want TLS (on RDS: `rds.force_ssl`): leave `SslMode` out")
        }
        SqlState::INVALID_AUTHORIZATION_SPECIFICATION | SqlState::INVALID_PASSWORD => Ok(Passing {
            why: why.clone(),
            remedy: match target.login {
                Login::Iam => {
                    "see that the instance has IAM authentication on, that the function's role may \
                     do rds-db:connect as this role, and that it is a member of `rds_iam`"
                }
                Login::Password(_) => {
                    "see that the role exists, may log in, and that pg_hba.conf lets it in"
                }
            },
            kind: Kind::Fresh,
        }),
        _ => refused("see the server's log"),
    }
}
