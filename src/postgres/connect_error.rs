//! Why a connection could not be opened: which errors are retried, for how long, and what to do.

use std::error::Error as StdError;
use std::fmt::{self, Display, Formatter};
use std::io;
use std::time::Duration;

use tokio_postgres::error::SqlState;

use crate::postgres::server_message::described;
use crate::postgres::target::{Login, Target};
use crate::tls::SslMode;

/// Why a connection could not be opened.
#[derive(Debug)]
pub struct Error {
    /// What kind of failure it is.
    pub kind: Kind,
    /// `host:port`.
    pub server: String,
    /// What the server said, or what happened on the way to it.
    pub why: String,
    /// What to do.
    pub remedy: String,
}

/// What kind of failure it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Transient: nothing listens there, or the name is not found.
    Unreachable,
    /// Transient: no response.
    NoResponse,
    /// Transient: a grant that has not taken effect, which it does soon or not at all.
    RecentGrant,
    /// Transient: all connections of the one database are taken.
    ConnectionLimit,
    /// Transient: the server is there, and not ready yet.
    NotReady,
    /// Permanent: this database is not there, or the role may not connect to it.
    DatabaseUnavailable,
    /// Permanent: the password is not the role's.
    Password,
    /// Permanent: the server refuses the connection, or this function does.
    Refused,
}

impl Display for Error {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let Self { kind, server, why, remedy } = self;
        match kind {
            Kind::DatabaseUnavailable | Kind::Password | Kind::Refused => {
                write!(out, "cannot connect to {server}: {why}; {remedy}")
            }
            _ => write!(out, "gave up waiting for a connection to {server}: {why}; {remedy}"),
        }
    }
}

impl StdError for Error {}

/// A fresh grant takes seconds, and an Aurora Serverless cluster that resumes says `no pg_hba.conf
/// entry` for a while.
const RECENT_GRANT_LIMIT: Duration = Duration::from_secs(60);

/// For how long transient failures are retried, within the deadline; `None` is until the deadline.
#[derive(Debug, Clone, Copy)]
pub struct RetryLimits {
    unreachable: Option<Duration>,
    no_response: Option<Duration>,
    connection_limit: Option<Duration>,
}

impl RetryLimits {
    /// The server may be starting.
    pub const UNTIL_DEADLINE: Self =
        Self { unreachable: None, no_response: None, connection_limit: None };

    /// A Delete's: the server may be deleted already, and then nothing is left to do.
    pub const OF_DELETE: Self = Self {
        unreachable: Some(Duration::from_secs(5)),
        no_response: Some(Duration::from_secs(30)),
        connection_limit: None,
    };

    /// The same for a database that only `*` means: its owner must not hold up the others.
    #[must_use]
    pub fn without_waiting_for_connections(self) -> Self {
        Self { connection_limit: Some(Duration::ZERO), ..self }
    }

    /// For how long a failure of this kind is retried; zero for a permanent one.
    pub fn of(&self, kind: Kind) -> Option<Duration> {
        match kind {
            Kind::Unreachable => self.unreachable,
            Kind::NoResponse => self.no_response,
            Kind::ConnectionLimit => self.connection_limit,
            Kind::RecentGrant => Some(RECENT_GRANT_LIMIT),
            Kind::NotReady => None,
            Kind::DatabaseUnavailable | Kind::Password | Kind::Refused => Some(Duration::ZERO),
        }
    }
}

/// What to do where the server does not respond.
pub const CHECK_NETWORK: &str = "check that the security group of the database lets the function in \
     on that port, and that the function's subnets have a route there";
const CHECK_HOST: &str = "check that the host is right, and that the function's VPC resolves it";
const CHECK_LIMIT: &str = "check who is connected to that database, and its limit (`ALTER DATABASE \
     ... CONNECTION LIMIT`)";
const CHECK_SERVER: &str = "check that the server is up, and listens on that port";

const NO_AUTHENTICATION: &str = "the server asks for an authentication method that this function does \
     not have: let pg_hba.conf ask this role for `scram-sha-256`, `md5` or `password`";

const NOT_BOUND: &str = "the server asked for the password in a way in which it could be passed on \
     (not by SCRAM with channel binding), so nothing was sent: leave `Host`, `Port`, `SslRootCert` \
     and `SslMode` out and put the host into the secret, or have the host added to \
     `AllowedHosts`, a parameter of the function's stack (its variable ALLOWED_HOSTS), which counts \
     under `verify-full` without `SslRootCert`";

const EXPIRED: &str = "the server's certificate has expired: renew it (on RDS: give the instance \
     a certificate authority that is still valid, `CACertificateIdentifier`)";
const OTHER_NAME: &str = "the server's certificate does not name this host: use a name that it \
     has, or `SslMode: verify-ca`, which compares no names";
const OTHER_AUTHORITY: &str = "the server's certificate is of an authority that is not trusted \
     here: give that one in `SslRootCert` (the regions of GovCloud and China, and private \
     authorities, are not built in)";

/// What a failed attempt to connect means.
pub fn classify(error: &tokio_postgres::Error, target: &Target, database: &str) -> Error {
    let (kind, remedy) = error.code().map_or_else(
        || {
            let (kind, remedy) = without_response(error);
            (kind, remedy.to_owned())
        },
        |code| {
            let routine = error.as_db_error().and_then(|said| said.routine());
            of_sqlstate(code, routine, target, database)
        },
    );
    Error { kind, server: target.address(), why: described(error), remedy }
}

/// What a failure means that the server itself has not reported. The driver has no kinds for what
/// fails in authentication, and OpenSSL's verify result comes as text: words tell there.
fn without_response(error: &tokio_postgres::Error) -> (Kind, &'static str) {
    let why = described(error);
    let says = |words: &str| why.contains(words);
    let is_tls = error.source().is_some_and(<dyn StdError>::is::<native_tls::Error>);
    // What fails in SCRAM is of these kinds.
    let is_scram = |cause: &&io::Error| {
        [io::ErrorKind::InvalidInput, io::ErrorKind::Other].contains(&cause.kind())
    };
    if let Some(cause) = io_error(error.source()).filter(|cause| !is_scram(cause)) {
        return match (cause.kind(), cause.raw_os_error()) {
            (io::ErrorKind::TimedOut, _) => (Kind::NoResponse, CHECK_NETWORK),
            (io::ErrorKind::ConnectionRefused, _) => (Kind::Unreachable, CHECK_SERVER),
            // The resolver has error codes of its own, which are not the system's.
            (io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData, _) | (_, Some(_)) => {
                (Kind::NotReady, CHECK_SERVER)
            }
            (_, None) => (Kind::Unreachable, CHECK_HOST),
        };
    }
    if is_tls && says("certificate verify failed") {
        let remedy = if says("has expired") {
            EXPIRED
        } else if says("mismatch") {
            OTHER_NAME
        } else {
            OTHER_AUTHORITY
        };
        return (Kind::Refused, remedy);
    }
    if is_tls && !says("EOF") {
        return (
            Kind::Refused,
            "the server and this function cannot agree on TLS: check that it speaks TLS 1.2 or later",
        );
    }
    let permanent = [
        (
            "server does not support TLS",
            "turn TLS on there, or, on a network that you trust, use `SslMode: disable`",
        ),
        ("server did not use channel binding", NOT_BOUND),
        (
            "SCRAM verification error",
            "check that the host is right: another server may have responded",
        ),
        ("SCRAM iteration count", "lower `scram_iterations` there, and set the password again"),
        ("authentication error: unsupported", NO_AUTHENTICATION),
        (
            "authentication error",
            "check that the host and the port are those of a PostgreSQL server",
        ),
        (
            "unexpected message from server",
            "check that the host and the port are those of a PostgreSQL server",
        ),
    ];
    let remedy = permanent.into_iter().find(|(words, _)| says(words));
    remedy.map_or((Kind::NotReady, CHECK_SERVER), |(_, remedy)| (Kind::Refused, remedy))
}

/// The input or output that failed, if one is among the causes.
fn io_error<'a>(cause: Option<&'a (dyn StdError + 'static)>) -> Option<&'a io::Error> {
    let cause = cause?;
    cause.downcast_ref().or_else(|| io_error(cause.source()))
}

fn of_sqlstate(
    code: &SqlState,
    routine: Option<&str>,
    target: &Target,
    database: &str,
) -> (Kind, String) {
    let is_iam = target.login == Login::Iam;
    let (kind, remedy) = match *code {
        SqlState::INVALID_PASSWORD if !is_iam => {
            (Kind::Password, "rotate the secret, or set the role's password to what it says")
        }
        SqlState::TOO_MANY_CONNECTIONS if routine == Some("CheckMyDatabase") => {
            (Kind::ConnectionLimit, CHECK_LIMIT)
        }
        SqlState::CANNOT_CONNECT_NOW
        | SqlState::ADMIN_SHUTDOWN
        | SqlState::CRASH_SHUTDOWN
        | SqlState::TOO_MANY_CONNECTIONS => (Kind::NotReady, CHECK_SERVER),
        SqlState::INVALID_CATALOG_NAME => {
            let remedy = format!(
                "create database `{database}` first, or name another one (`Databases`, or the \
                 secret's `dbname`)"
            );
            return (Kind::DatabaseUnavailable, remedy);
        }
        SqlState::INSUFFICIENT_PRIVILEGE | SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE => {
            let remedy = format!("let role `{}` connect to `{database}`", target.username);
            return (Kind::DatabaseUnavailable, remedy);
        }
        SqlState::INVALID_AUTHORIZATION_SPECIFICATION if target.ssl_mode == SslMode::Disable => (
            Kind::Refused,
            "the server may want TLS (on RDS: `rds.force_ssl`): leave `SslMode` out",
        ),
        SqlState::INVALID_AUTHORIZATION_SPECIFICATION | SqlState::INVALID_PASSWORD if is_iam => (
            Kind::RecentGrant,
            "check that the instance has IAM authentication on, that the function's role may do \
             rds-db:connect as this role, and that it is a member of `rds_iam`",
        ),
        SqlState::INVALID_AUTHORIZATION_SPECIFICATION => (
            Kind::RecentGrant,
            "check that the role exists, may log in, and that pg_hba.conf lets it in",
        ),
        _ => (Kind::Refused, "check the server's log"),
    };
    (kind, remedy.to_owned())
}
