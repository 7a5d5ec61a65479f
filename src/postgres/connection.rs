//! Where connections are opened: TLS, a password, the session's settings.

use std::pin::pin;
use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use native_tls::TlsConnector;
use postgres_native_tls::MakeTlsConnector;
use tokio::task::JoinHandle;
use tokio_postgres::config::SslMode as Tls;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, SimpleQueryMessage};

use crate::credentials::Password;
use crate::deadline::{Backoff, Deadline};
use crate::log;
use crate::postgres::connect_error::{CHECK_NETWORK, Error, Kind, RetryLimits, classify};
use crate::postgres::target::Target;
use crate::tls::SslMode;

/// How long one attempt to connect may take: Aurora Serverless responds within 15 s of a pause.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(20);

/// The shortest time for one attempt to connect.
const MIN_ATTEMPT_TIMEOUT: Duration = Duration::from_secs(1);

/// How much longer than the deadline the server keeps an idle session: the function ends it first.
const SESSION_TIMEOUT_MARGIN: Duration = Duration::from_secs(2);

/// The most milliseconds that a setting can have.
const MAX_SETTING: u128 = i32::MAX as u128;

/// How long to wait until Terminate is sent.
const TERMINATE_TIMEOUT: Duration = Duration::from_millis(200);

/// What every message that names anything begins with, and the first statement on a connection:
/// nothing of a user's is found by an unqualified name, whatever the database or the role has set.
/// Temporary objects come last.
pub const SEARCH_PATH: &str = "SET search_path = pg_catalog, pg_temp";

/// How often the session's settings are sent before a timeout of the database's own is an error.
const SETTINGS_ATTEMPTS: u32 = 5;

/// What came of several statements.
#[derive(Debug, Default)]
pub struct Output {
    /// The first value of each row.
    pub rows: Vec<String>,
    /// How many statements were completed.
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
    /// Connects, and retries transient failures within the limits and the deadline.
    ///
    /// # Errors
    /// A permanent failure, or the last transient one.
    pub async fn open(
        target: &Target,
        database: &str,
        password: &Password,
        tls: TlsConnector,
        is_named: bool,
        limits: RetryLimits,
        deadline: Deadline,
    ) -> Result<Self, Error> {
        let limits = if is_named { limits } else { limits.without_waiting_for_connections() };
        let no_response_limit = limits.of(Kind::NoResponse).unwrap_or(Duration::MAX);
        let config = config(target, database, password);
        let tls = MakeTlsConnector::new(tls);
        let started = Instant::now();
        let mut backoff = Backoff::new();
        let mut last: Option<Error> = None;
        loop {
            let timeout = ATTEMPT_TIMEOUT.min(deadline.left());
            let remaining = no_response_limit.saturating_sub(started.elapsed());
            let timeout = timeout.min(remaining.max(MIN_ATTEMPT_TIMEOUT));
            let error = match tokio::time::timeout(timeout, config.connect(tls.clone())).await {
                Ok(Ok((client, connection))) => {
                    let major = connection.parameter("server_version").map_or(0, major);
                    let driver = tokio::spawn(async move {
                        // Its error is the one that the client's next call reports.
                        let _ = connection.await;
                    });
                    return Ok(Self { client, major, is_named, tls, driver });
                }
                Ok(Err(error)) => classify(&error, target, database),
                Err(_) => Error {
                    kind: Kind::NoResponse,
                    server: target.address(),
                    why: format!("no response within {} s", timeout.as_secs_f32().ceil()),
                    remedy: CHECK_NETWORK.to_owned(),
                },
            };
            // What the deadline cut short says less than what was seen before.
            let is_cut_short = error.kind == Kind::NoResponse && timeout < ATTEMPT_TIMEOUT;
            let error = last.take().filter(|_| is_cut_short).unwrap_or(error);
            let limit = limits.of(error.kind).map(|limit| started + limit);
            let until = limit.map_or(deadline.work_until(), |it| it.min(deadline.work_until()));
            if !backoff.pause(until).await {
                return Err(error);
            }
            let message = format!("connecting to {}: {}; trying again", error.server, error.why);
            log::warn_of_database(database, &message);
            last = Some(error);
        }
    }

    /// The first round trip of a connection: the session's settings, and then `sql` under
    /// [`SEARCH_PATH`].
    ///
    /// `sql` comes in a message that begins with [`SEARCH_PATH`] itself, so that it never runs
    /// without, even where the settings fail. A database's owner may have set a timeout that ends
    /// them: they are tried again a few times.
    ///
    /// # Errors
    /// The settings, or a statement, failed; or the connection was lost.
    pub async fn begin(
        &self,
        sql: &str,
        deadline: Deadline,
        output: &mut Output,
    ) -> Result<(), tokio_postgres::Error> {
        let sql = format!("{SEARCH_PATH};\n{sql}");
        let mut settings = self.settings(deadline);
        let mut attempts = 1..SETTINGS_ATTEMPTS;
        loop {
            let (set, (), done) = tokio::join!(
                self.client.batch_execute(&settings),
                self.check_client_connection(),
                self.run(&sql, output),
            );
            match set {
                Err(error)
                    if error.code() == Some(&SqlState::QUERY_CANCELED)
                        && attempts.next().is_some() =>
                {
                    settings = format!("ROLLBACK; {}", self.settings(deadline));
                    *output = Output::default();
                }
                set => return set.and(done),
            }
        }
    }

    /// The session's settings, of those that a database's owner may have set in a way that ends it or
    /// keeps it from its work. Sent by themselves: what comes first is done soon.
    ///
    /// The server ends the session if the function is gone: then it keeps neither the lock nor the
    /// session. These are for the session, since a transaction that fails takes its settings back.
    fn settings(&self, deadline: Deadline) -> String {
        let (lock_ms, ms) = deadline.timeouts();
        let lifetime = (deadline.left() + SESSION_TIMEOUT_MARGIN).as_millis().min(MAX_SETTING);
        let settings = [
            (0, SEARCH_PATH.to_owned()),
            (17, "SET transaction_timeout = 0".to_owned()),
            (0, format!("SET statement_timeout = {ms}")),
            // A little sooner, so that the error says that it was a lock.
            (0, format!("SET lock_timeout = {lock_ms}")),
            (14, format!("SET idle_session_timeout = {lifetime}")),
            (0, format!("SET idle_in_transaction_session_timeout = {lifetime}")),
            // What the server spells, as the default of a column, is compared.
            (0, "SET quote_all_identifiers = off".to_owned()),
        ];
        // Who names a database has its owner's word that it is read-only.
        let writable =
            (!self.is_named).then(|| (0, "SET default_transaction_read_only = off".to_owned()));
        let settings = settings.into_iter().chain(writable);
        let known = settings.filter(|(since, _)| self.major >= *since);
        known.map(|(_, setting)| setting).collect::<Vec<_>>().join("; ")
    }

    /// Has the server notice while it is at work that the function is gone. By itself, and a failure
    /// is ignored: not every operating system can do that.
    async fn check_client_connection(&self) {
        if self.major >= 14 {
            let check = "SET client_connection_check_interval = '2s'";
            let _ = self.client.batch_execute(check).await;
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

    /// Disconnects; what is not committed is rolled back.
    pub async fn close(self) {
        let Self { client, driver, .. } = self;
        drop(client);
        // Terminate is sent when the task ends; a server that is stuck must not hold the function.
        let abort = driver.abort_handle();
        if tokio::time::timeout(TERMINATE_TIMEOUT, driver).await.is_err() {
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
        .connect_timeout(ATTEMPT_TIMEOUT)
        .channel_binding(target.channel_binding)
        .ssl_mode(if target.ssl_mode == SslMode::Disable { Tls::Disable } else { Tls::Require });
    config
}
