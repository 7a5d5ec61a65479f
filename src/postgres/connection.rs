//! The way into the server: TLS, a password, and patience for what passes.

use std::pin::pin;
use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use postgres_native_tls::MakeTlsConnector;
use tokio::task::JoinHandle;
use tokio_postgres::config::SslMode as Tls;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, SimpleQueryMessage};

use crate::deadline::{Backoff, Budget};
use crate::log;
use crate::password::Password;
use crate::postgres::connect_error::{Error, Kind, Passing, SILENT, judged};
use crate::postgres::retry_limits::{FRESH_GRANT, Patience};
use crate::postgres::target::Target;
use crate::request::SslMode;
use crate::tls::Trust;

/// How long one attempt to connect may take: Aurora Serverless answers within 15 s of a pause.
const ATTEMPT: Duration = Duration::from_secs(20);

/// The shortest time to wait for an answer.
const LEAST: Duration = Duration::from_secs(1);

/// How much longer than our budget the server keeps an idle session: what runs out of time is ended
/// by us first.
const AFTER_US: Duration = Duration::from_secs(2);

/// The most milliseconds that a setting can have.
const LONGEST: u128 = i32::MAX as u128;

/// How long to wait for Terminate to be on its way.
const FAREWELL: Duration = Duration::from_millis(200);

/// What every message begins with that names anything, and the first statement on a connection:
/// nothing of a user's is found by an unqualified name, whatever the database or the role has set.
/// Temporary objects come last.
pub const PIN: &str = "SET search_path = pg_catalog, pg_temp";

/// How often to send the session's settings before a timeout of the database's own is told.
const PIN_ATTEMPTS: u32 = 5;

/// What came of several statements.
#[derive(Debug, Default)]
pub struct Output {
    /// The first value of each row.
    pub rows: Vec<String>,
    /// How many were completed.
    pub statements: usize,
}

/// An open connection.
pub struct Connection {
    /// For statements.
    pub client: Client,
    /// The server's major version.
    major: u32,
    /// Whether the request names the database, and does not only mean it by `*`.
    is_named: bool,
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
        is_named: bool,
        mut patience: Patience,
        budget: Budget,
    ) -> Result<Self, crate::Error> {
        if !is_named {
            // Whoever owns it holds up nobody.
            patience.full = Duration::ZERO;
        }
        let tls =
            trust.for_server(&target.host, target.ssl_mode, target.ssl_root_cert.as_deref())?;
        let config = config(target, database, password);
        let tls = MakeTlsConnector::new(tls);
        let place = format!("{}:{}", target.host, target.port);
        let started = Instant::now();
        let mut backoff = Backoff::new();
        let mut heard: Option<Passing> = None;
        loop {
            let limit = ATTEMPT.min(budget.left());
            let limit = limit.min(patience.silent.saturating_sub(started.elapsed()).max(LEAST));
            let failure = match tokio::time::timeout(limit, config.connect(tls.clone())).await {
                Ok(Ok((client, connection))) => {
                    let major = connection.parameter("server_version").map_or(0, major);
                    let driver = tokio::spawn(async move {
                        // Its error is the one that the client's next call reports.
                        let _ = connection.await;
                    });
                    return Ok(Self { client, major, is_named, tls, driver });
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
                Kind::Fresh => started + FRESH_GRANT,
                Kind::Full => started + patience.full,
                Kind::Busy => budget.work_until(),
            };
            if !backoff.pause(until.min(budget.work_until())).await {
                let Passing { why: last, remedy, kind } = failure;
                let gone = matches!(kind, Kind::Absent | Kind::Silent);
                return Err(match kind {
                    Kind::Full => Error::Full { place, why: last },
                    _ => Error::GaveUp { place, last, remedy, gone },
                }
                .into());
            }
            log::warn(&format!("connecting to {place}: {}; trying again", failure.why));
            heard = Some(failure);
        }
    }

    /// The first round trip of a connection: the session's settings, and then `sql` under [`PIN`].
    ///
    /// `sql` comes in a message that begins with [`PIN`] itself, so that it never runs without, even
    /// where the settings fail. A database's owner may have set a timeout that ends them: they are
    /// tried again a few times.
    ///
    /// # Errors
    /// The settings, or a statement, failed; or the connection was lost.
    pub async fn begin(
        &self,
        sql: &str,
        budget: Budget,
        output: &mut Output,
    ) -> Result<(), tokio_postgres::Error> {
        let sql = format!("{PIN};\n{sql}");
        let mut settings = self.settings(budget);
        let mut tries = 1..PIN_ATTEMPTS;
        loop {
            let (pinned, (), done) = tokio::join!(
                self.client.batch_execute(&settings),
                self.watch_the_client(),
                self.run(&sql, output),
            );
            match pinned {
                Err(error)
                    if error.code() == Some(&SqlState::QUERY_CANCELED)
                        && tries.next().is_some() =>
                {
                    settings = format!("ROLLBACK; {}", self.settings(budget));
                    *output = Output::default();
                }
                pinned => return pinned.and(done),
            }
        }
    }

    /// The session's settings, of those that a database's owner may have set in a way that ends it or
    /// keeps it from its work. Sent by themselves: what comes first is to be done soon.
    ///
    /// The server ends the session if nobody hears of us any more: then it keeps neither the lock nor
    /// the session. These are for the session, since a transaction that fails takes its settings back.
    fn settings(&self, budget: Budget) -> String {
        let (lock_ms, ms) = budget.timeouts();
        let lifetime = (budget.left() + AFTER_US).as_millis().min(LONGEST);
        let settings = [
            (0, PIN.to_owned()),
            (17, "SET transaction_timeout = 0".to_owned()),
            (0, format!("SET statement_timeout = {ms}")),
            // A little sooner, so that the error says that it was a lock.
            (0, format!("SET lock_timeout = {lock_ms}")),
            (14, format!("SET idle_session_timeout = {lifetime}")),
            (0, format!("SET idle_in_transaction_session_timeout = {lifetime}")),
            // What the server spells for us, as the default of a column, is compared.
            (0, "SET quote_all_identifiers = off".to_owned()),
        ];
        // Who names a database has its owner's word that it is read-only.
        let writable =
            (!self.is_named).then(|| (0, "SET default_transaction_read_only = off".to_owned()));
        let settings = settings.into_iter().chain(writable);
        let known = settings.filter(|(since, _)| self.major >= *since);
        known.map(|(_, setting)| setting).collect::<Vec<_>>().join("; ")
    }

    /// Has the server see that we are gone while it is at work. By itself, and a failure is nobody's:
    /// not every system can do that.
    async fn watch_the_client(&self) {
        if self.major >= 14 {
            let watch = "SET client_connection_check_interval = '2s'";
            let _ = self.client.batch_execute(watch).await;
        }
    }

    /// Runs statements in one message: where one fails, the server skips the rest.
    ///
    /// # Errors
    /// A statement failed, or the connection was lost; `output` has what came before that.
    pub async fn run(&self, sql: &str, output: &mut Output) -> Result<(), tokio_postgres::Error> {
        let mut messages = pin!(self.client.simple_query_raw(sql).await?);
        while let Some(message) = messages.try_next().await? {
            match message {
                SimpleQueryMessage::Row(row) => {
                    output.rows.push(row.try_get(0)?.unwrap_or_default().to_owned());
                }
                SimpleQueryMessage::CommandComplete(_) => output.statements += 1,
                _ => {}
            }
        }
        Ok(())
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

/// A server's major version: of `14.2`, `18beta1 (Debian ...)`; 0 if it is none.
fn major(version: &str) -> u32 {
    let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or_default()
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
        .channel_binding(target.channel_binding)
        .ssl_mode(if target.ssl_mode == SslMode::Disable { Tls::Disable } else { Tls::Require });
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_major_version() {
        for (version, number) in [
            ("14.2", 14),
            ("16beta1", 16),
            ("15.8 (Debian 15.8-0+deb12u1)", 15),
            ("18", 18),
            ("9.6.24", 9),
            ("", 0),
            ("beta", 0),
            ("99999999999999999999", 0),
        ] {
            assert_eq!(major(version), number, "{version}");
        }
    }
}
