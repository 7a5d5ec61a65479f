//! The way into the server: TLS, a password, and patience for what passes.

use std::time::{Duration, Instant};

use postgres_native_tls::MakeTlsConnector;
use tokio::task::JoinHandle;
use tokio_postgres::config::SslMode as Tls;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config};

use crate::budget::{Backoff, Budget};
use crate::log;
use crate::login::Greeting;
use crate::password::Password;
use crate::patience::Patience;
use crate::request::SslMode;
use crate::scram;
use crate::target::{Login, Target};
use crate::trust::Trust;
use crate::words::chain;

/// How long one attempt to connect may take: Aurora Serverless answers within 15 s of a pause.
const ATTEMPT: Duration = Duration::from_secs(20);

/// How long the server keeps the session for us; `{ms}` is how long it may be idle.
const LIFETIME: &str = include_str!("lifetime.sql");

/// How much longer than our budget that is: what runs out of time is ended by us first.
const AFTER_US: Duration = Duration::from_secs(2);

/// How long to wait for Terminate to be on its way.
const FAREWELL: Duration = Duration::from_millis(200);

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

/// An open connection.
pub struct Connection {
    /// For statements.
    pub client: Client,
    tls: MakeTlsConnector,
    driver: JoinHandle<()>,
}

impl Connection {
    /// Connects, and retries while it makes sense and the budget lasts.
    ///
    /// # Errors
    /// A refusal that will not pass, or that did not pass in time.
    pub async fn open(
        target: &Target,
        database: &str,
        password: &Password,
        trust: &Trust,
        patience: Patience,
        budget: Budget,
    ) -> Result<Self, crate::Error> {
        let tls =
            trust.for_server(&target.host, target.ssl_mode, target.ssl_root_cert.as_deref())?;
        let config = config(target, database, password);
        let greeting = Greeting {
            tls: tls.clone(),
            user: target.username.clone(),
            database: database.to_owned(),
            password: password.clone(),
        };
        let tls = MakeTlsConnector::new(tls);
        let place = format!("{}:{}", target.host, target.port);
        let started = Instant::now();
        let mut backoff = Backoff::new();
        let mut heard: Option<Passing> = None;
        loop {
            let limit = ATTEMPT.min(budget.left());
            let limit = limit.min(patience.silent.saturating_sub(started.elapsed()).max(LEAST));
            let failure = match tokio::time::timeout(limit, config.connect(greeting.clone())).await
            {
                Ok(Ok((client, connection))) => {
                    let driver = tokio::spawn(async move {
                        // Its error is the one that the client's next call reports.
                        let _ = connection.await;
                    });
                    return Ok(Self { client, tls, driver });
                }
                Ok(Err(error)) => judged(&error, target, database, &place)?,
                // Cut short by the budget: what was heard before tells more.
                Err(_) if limit < ATTEMPT && heard.is_some() => heard.take().unwrap_or_default(),
                Err(_) => Passing {
                    why: format!("no answer within {} s", limit.as_secs_f32().ceil()),
                    remedy: SILENT,
                    kind: Kind::Silent,
                },
            };
            let until = match failure.kind {
                Kind::Absent => started + patience.absent,
                Kind::Silent => started + patience.silent,
                Kind::Fresh => started + patience.fresh,
                Kind::Busy => budget.work_until(),
            };
            if !backoff.pause(until.min(budget.work_until())).await {
                let Passing { why: last, remedy, kind } = failure;
                let gone = matches!(kind, Kind::Absent | Kind::Silent);
                return Err(Error::GaveUp { place, last, remedy, gone }.into());
            }
            log::warn(&format!("connecting to {place}: {}; trying again", failure.why));
            heard = Some(failure);
        }
    }

    /// Has the server end this session if nobody hears of us any more. To be joined with what is
    /// sent after it, so that it costs no time of its own.
    ///
    /// A failure is nobody's: a lost connection shows in what comes next, and a server that knows
    /// no such settings does without.
    pub async fn limit_lifetime(&self, budget: Budget) {
        let ms = i32::try_from((budget.left() + AFTER_US).as_millis()).unwrap_or(i32::MAX);
        let _ = self.client.batch_execute(&LIFETIME.replace("{ms}", &ms.to_string())).await;
    }

    /// Asks the server to stop what it is doing, for as long as `limit`.
    pub async fn cancel(&self, limit: Duration) {
        let token = self.client.cancel_token();
        let _ = tokio::time::timeout(limit, token.cancel_query(self.tls.clone())).await;
    }

    /// Hangs up; what is not committed is rolled back.
    pub async fn close(self) {
        let Self { client, driver, .. } = self;
        drop(client);
        // Terminate is on its way when the task ends; a server that is stuck must not hold us.
        let abort = driver.abort_handle();
        if tokio::time::timeout(FAREWELL, driver).await.is_err() {
            abort.abort();
        }
    }
}

/// The settings of a connection.
fn config(target: &Target, database: &str, password: &Password) -> Config {
    let mut config = Config::new();
    config
        .host(&target.host)
        .port(target.port)
        .user(&target.username)
        .password(password.expose())
        .dbname(database)
        .application_name(env!("CARGO_PKG_NAME"))
        .connect_timeout(ATTEMPT)
        .ssl_mode(if target.ssl_mode == SslMode::Disable { Tls::Disable } else { Tls::Require });
    config
}

/// A failure to connect that may pass.
#[derive(Default)]
struct Passing {
    why: String,
    remedy: &'static str,
    kind: Kind,
}

/// What kind of failure it is: how long it may last.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Kind {
    /// Nobody is there: refused, or the name is not found.
    Absent,
    /// Nobody answers.
    Silent,
    /// It is one of those that pass soon, or not at all.
    Fresh,
    /// It is there, and not ready yet.
    #[default]
    Busy,
}

/// The shortest time to wait for an answer.
const LEAST: Duration = Duration::from_secs(1);

const SILENT: &str = "see that the security group of the database lets the function in on that \
     port, and that the function's subnets have a route there";
const UNRESOLVED: &str = "see that the host is right, and that the function's VPC resolves it";
const NOT_UP: &str = "see that the server is up, and listens on that port";

const NO_WAY: &str = "the server asks for a way to log in that this function does not have";

const EXPIRED: &str = "the server's certificate has expired: renew it (on RDS: give the instance \
     a certificate authority that is still valid, `CACertificateIdentifier`)";
const WRONG_NAME: &str = "the server's certificate does not name this host: use a name that it \
     has, or `SslMode: verify-ca`, which compares no names";
const WRONG_AUTHORITY: &str = "the server's certificate is of an authority that is not trusted \
     here: give that one in `SslRootCert` (the regions of GovCloud and China, and private \
     authorities, are not built in)";

/// What a failed attempt means: an error if it will not pass.
fn judged(
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
        } else if fails(&scram::Error::Impostor.to_string()) {
            refused(
                "see that the host is right, and whose certificate it shows: it may be another server",
            )
        } else if fails("SCRAM") {
            refused(NO_WAY)
        } else if fails("TLS handshake")
            && !["EOF", "reset", "closed"].iter().any(|word| fails(word))
        {
            refused(
                "the server and this function cannot agree on TLS: see that it speaks TLS 1.2 or later",
            )
        } else if fails("invalid configuration") || fails("authentication error") {
            refused(NO_WAY)
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
