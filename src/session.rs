//! One visit to a database: a TLS connection, a transaction, a lock.

use std::pin::pin;
use std::time::Duration;

use futures_util::TryStreamExt;
use postgres_native_tls::MakeTlsConnector;
use tokio::task::JoinHandle;
use tokio_postgres::config::SslMode as Tls;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Config, SimpleQueryMessage};

use crate::budget::{Backoff, Budget};
use crate::error::{chain, server_said};
use crate::log;
use crate::observed::{self, Observed};
use crate::plan::Plan;
use crate::request::{SslMode, Wanted};
use crate::target::Target;
use crate::trust::Trust;

/// How the transaction begins: the settings, then the lock. `{ms}` is what is left of the budget.
const BEGIN: &str = include_str!("begin.sql");

/// The extensions that are there, after the steps.
const READ_BACK: &str = include_str!("read_back.sql");

/// How long one attempt to connect may take: Aurora Serverless answers within 15 s of a pause.
const ATTEMPT: Duration = Duration::from_secs(20);

/// What the server may take longer than its own timeout, before we cancel and hang up.
const GRACE: Duration = Duration::from_millis(500);

/// Why a visit failed.
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
             AWSPENDING and AWSPREVIOUS, and none of them has the password: rotate the secret, or \
             set the role's password to what it says"
    )]
    Password {
        /// `host:port`.
        place: String,
        /// What the server said.
        why: String,
    },
    /// A statement failed.
    #[error("{doing} in database `{database}` failed, and nothing was changed there: {why}")]
    Statement {
        /// What was being done.
        doing: String,
        /// The database.
        database: String,
        /// What the server said.
        why: String,
    },
    /// Time ran out in the database.
    #[error("time ran out {doing} in database `{database}`, and nothing was changed there: {why}")]
    TimedOut {
        /// What was being done.
        doing: String,
        /// The database.
        database: String,
        /// What the server said, or that it said nothing.
        why: String,
    },
    /// The connection was lost.
    #[error("the connection to database `{database}` was lost {doing}: {why}; {outcome}")]
    Lost {
        /// What was being done.
        doing: String,
        /// The database.
        database: String,
        /// The cause.
        why: String,
        /// What is known of the state.
        outcome: &'static str,
    },
}

/// An open transaction that holds the lock.
pub struct Session {
    client: Client,
    tls: MakeTlsConnector,
    connection: JoinHandle<()>,
    database: String,
}

/// Name and version of every extension, sorted by name.
pub type Extensions = Vec<(String, String)>;

impl Session {
    /// Connects, and retries while it makes sense and the budget lasts.
    ///
    /// # Errors
    /// A refusal that will not pass, or that did not pass in time.
    pub async fn open(
        target: &Target,
        trust: &Trust,
        budget: Budget,
    ) -> Result<Self, crate::Error> {
        let tls =
            trust.for_server(&target.host, target.ssl_mode, target.ssl_root_cert.as_deref())?;
        let tls = MakeTlsConnector::new(tls);
        let config = config(target);
        let place = format!("{}:{}", target.host, target.port);
        let mut backoff = Backoff::new();
        loop {
            let limit = ATTEMPT.min(budget.left());
            let failure = match tokio::time::timeout(limit, config.connect(tls.clone())).await {
                Ok(Ok((client, connection))) => {
                    let connection = tokio::spawn(async move {
                        // Its error is the one that the client's next call reports.
                        let _ = connection.await;
                    });
                    let database = target.database.clone();
                    return Ok(Self { client, tls, connection, database });
                }
                Ok(Err(error)) => judged(&error, target, &place)?,
                Err(_) => Passing {
                    why: format!("no answer within {} s", limit.as_secs_f32().ceil()),
                    remedy: SILENT,
                },
            };
            if !backoff.pause(budget.work_until()).await {
                let Passing { why: last, remedy } = failure;
                return Err(Error::GaveUp { place, last, remedy }.into());
            }
            log::warn(&format!("connecting to {place}: {}; trying again", failure.why));
        }
    }

    /// Begins the transaction, takes the lock and looks, in one flight.
    ///
    /// # Errors
    /// The lock is not to be had in time, or the server fails.
    pub async fn observe(&self, wanted: &Wanted, budget: Budget) -> Result<Observed, Error> {
        let begin = BEGIN.replace("{ms}", &budget.left_in_milliseconds().to_string());
        let look_for = observed::look_for(wanted).to_string();
        let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 1] =
            [(&look_for, Type::TEXT)];
        let look = async {
            let (start, row) = tokio::join!(
                self.client.batch_execute(&begin),
                self.client.query_typed_one(observed::SQL, &parameters),
            );
            start?;
            row?.try_get::<_, String>(0)
        };
        let doing = "waiting for the lock that requests of this kind share, or reading the catalog";
        let text = self.bounded(look, budget, doing).await?;
        serde_json::from_str(&text).map_err(|error| Error::Statement {
            doing: "reading the catalog".to_owned(),
            database: self.database.clone(),
            why: error.to_string(),
        })
    }

    /// Runs the plan, reads back, and commits, or rolls back after a rehearsal: in one flight.
    ///
    /// # Errors
    /// A step failed: then nothing of it stays. Or the connection was lost, and that is not known.
    pub async fn apply(
        &self,
        plan: &Plan,
        rehearse: bool,
        budget: Budget,
    ) -> Result<Extensions, Error> {
        let ms = budget.left_in_milliseconds();
        let mut batch: Vec<String> = vec![
            format!("SET LOCAL lock_timeout = {ms}"),
            format!("SET LOCAL statement_timeout = {ms}"),
        ];
        let settings = batch.len();
        batch.extend(plan.steps.iter().map(ToString::to_string));
        batch.push(READ_BACK.trim_end().to_owned());
        batch.push(if rehearse { "ROLLBACK" } else { "COMMIT" }.to_owned());

        let mut done = 0;
        let mut extensions = None;
        let run = async {
            let text = batch.join(";\n");
            let mut messages = pin!(self.client.simple_query_raw(&text).await?);
            while let Some(message) = messages.try_next().await? {
                match message {
                    SimpleQueryMessage::CommandComplete(_) => done += 1,
                    SimpleQueryMessage::Row(row) => {
                        extensions = row.get(0).map(ToOwned::to_owned);
                    }
                    _ => {}
                }
            }
            Ok(())
        };
        let result = self.bounded(run, budget, "changing extensions").await;
        let doing = match plan.steps.get(usize::saturating_sub(done, settings)) {
            Some(step) => format!("`{step}`"),
            None => "`COMMIT`".to_owned(),
        };
        match result {
            Ok(()) => {}
            Err(Error::Statement { database, why, .. }) => {
                return Err(Error::Statement { doing, database, why });
            }
            Err(Error::TimedOut { database, why, .. }) => {
                return Err(Error::TimedOut { doing: format!("in {doing}"), database, why });
            }
            Err(Error::Lost { database, why, .. }) => {
                return Err(Error::Lost {
                    doing: format!("in {doing}"),
                    database,
                    why,
                    outcome: "whether the changes were committed is not known: they are all there \
                              or none is, and another deployment settles it",
                });
            }
            Err(error) => return Err(error),
        }
        serde_json::from_str(extensions.as_deref().unwrap_or_default()).map_err(|error| {
            Error::Statement {
                doing: "reading the catalog".to_owned(),
                database: self.database.clone(),
                why: error.to_string(),
            }
        })
    }

    /// Hangs up; what is not committed is rolled back.
    pub async fn close(self) {
        let Self { client, connection, .. } = self;
        drop(client);
        // Terminate is on its way when the task ends; a server that is stuck must not hold us.
        let _ = tokio::time::timeout(GRACE, connection).await;
    }

    /// Runs `work` until the budget ends, and then tells the server to stop.
    async fn bounded<T>(
        &self,
        work: impl Future<Output = Result<T, tokio_postgres::Error>>,
        budget: Budget,
        doing: &str,
    ) -> Result<T, Error> {
        let (doing, database) = (doing.to_owned(), self.database.clone());
        let end = budget.work_until() + GRACE;
        match tokio::time::timeout_at(end.into(), work).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(match error.as_db_error() {
                Some(said) if is_timeout(said.code()) => {
                    Error::TimedOut { doing, database, why: server_said(said) }
                }
                Some(said) if !is_shutdown(said.code()) => {
                    Error::Statement { doing, database, why: server_said(said) }
                }
                _ => Error::Lost {
                    doing,
                    database,
                    why: chain(&error),
                    outcome: "nothing was changed there",
                },
            }),
            Err(_) => {
                let token = self.client.cancel_token();
                let _ = tokio::time::timeout(GRACE, token.cancel_query(self.tls.clone())).await;
                let why = "the server did not answer; the query was cancelled".to_owned();
                Err(Error::TimedOut { doing, database, why })
            }
        }
    }
}

/// The settings of a connection.
fn config(target: &Target) -> Config {
    let mut config = Config::new();
    config
        .host(&target.host)
        .port(target.port)
        .user(&target.username)
        .password(target.password.expose())
        .dbname(&target.database)
        .application_name(env!("CARGO_PKG_NAME"))
        .connect_timeout(ATTEMPT)
        .ssl_mode(if target.ssl_mode == SslMode::Disable { Tls::Disable } else { Tls::Require });
    config
}

/// A failure to connect that may pass.
struct Passing {
    why: String,
    remedy: &'static str,
}

const SILENT: &str = "see that the security group of the database lets the function in on that \
     port, and that the function's subnets have a route there";
const UNRESOLVED: &str = "see that the host is right, and that the function's VPC resolves it";
const NOT_UP: &str = "see that the server is up, and listens on that port";

/// What a failed attempt means: an error if it will not pass.
fn judged(error: &tokio_postgres::Error, target: &Target, place: &str) -> Result<Passing, Error> {
    let why = chain(error);
    let passing = |remedy| Ok(Passing { why: why.clone(), remedy });
    let refused = |remedy: &str| {
        Err(Error::Refused { place: place.to_owned(), why: why.clone(), remedy: remedy.to_owned() })
    };
    let Some(said) = error.as_db_error() else {
        let fails = |words: &str| why.contains(words);
        return if fails("certificate verify failed") {
            refused(
                "the server's certificate is not to be trusted: give the authority that signed it \
                 in `SslRootCert`, or, where it does not name this host, use a name that it has or \
                 `SslMode: verify-ca`",
            )
        } else if fails("server does not support TLS") {
            refused("turn TLS on there, or, on a network that you trust, use `SslMode: disable`")
        } else if fails("TLS handshake")
            && !["EOF", "reset", "closed"].iter().any(|word| fails(word))
        {
            refused(
                "the server and this function cannot agree on TLS: see that it speaks TLS 1.2 or later",
            )
        } else if fails("invalid configuration") || fails("authentication error") {
            refused("the server asks for a way to log in that this function does not have")
        } else if fails("failed to lookup address") {
            passing(UNRESOLVED)
        } else if fails("timed out") {
            passing(SILENT)
        } else {
            passing(NOT_UP)
        };
    };
    match *said.code() {
        SqlState::INVALID_PASSWORD => Err(Error::Password { place: place.to_owned(), why }),
        SqlState::CANNOT_CONNECT_NOW
        | SqlState::ADMIN_SHUTDOWN
        | SqlState::CRASH_SHUTDOWN
        | SqlState::TOO_MANY_CONNECTIONS => passing(NOT_UP),
        SqlState::INVALID_CATALOG_NAME => refused(&format!(
            "create database `{}` first, or name another one in `Databases`",
            target.database
        )),
        SqlState::INVALID_AUTHORIZATION_SPECIFICATION => refused(
            "see that the role exists, may log in, and that pg_hba.conf (on RDS: `rds.force_ssl`) \
             lets it in this way",
        ),
        _ => refused("see the server's log"),
    }
}

/// A timeout of ours, or a cancelled query.
fn is_timeout(code: &SqlState) -> bool {
    [SqlState::QUERY_CANCELED, SqlState::LOCK_NOT_AVAILABLE].contains(code)
}

/// The server, or somebody with rights, ended our connection.
fn is_shutdown(code: &SqlState) -> bool {
    [
        SqlState::ADMIN_SHUTDOWN,
        SqlState::CRASH_SHUTDOWN,
        SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
    ]
    .contains(code)
}
