//! The way into the server: TLS, a password, and patience for what passes.

use std::time::{Duration, Instant};

use postgres_native_tls::MakeTlsConnector;
use tokio::task::JoinHandle;
use tokio_postgres::config::SslMode as Tls;
use tokio_postgres::{Client, Config};

use crate::attempt::{Error, Kind, Passing, SILENT, judged};
use crate::budget::{Backoff, Budget};
use crate::log;
use crate::password::Password;
use crate::patience::{FRESH_GRANT, Patience};
use crate::request::SslMode;
use crate::target::Target;
use crate::trust::Trust;

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

/// An open connection.
pub struct Connection {
    /// For statements.
    pub client: Client,
    /// The server is 14 or later.
    is_14: bool,
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
                    let is_14 = connection.parameter("server_version").is_some_and(is_14);
                    let driver = tokio::spawn(async move {
                        // Its error is the one that the client's next call reports.
                        let _ = connection.await;
                    });
                    return Ok(Self { client, is_14, tls, driver });
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

    /// Has the server end this session if nobody hears of us any more: then it keeps neither the lock
    /// nor the session. To be joined with what is sent after it, so that it costs no time of its own.
    ///
    /// These are for the session, since a transaction that fails takes its settings back. A failure
    /// is nobody's: a lost connection shows in what comes next, and a server that knows no such
    /// setting, as those before 14, does without.
    pub async fn limit_lifetime(&self, budget: Budget) {
        let ms = (budget.left() + AFTER_US).as_millis().min(LONGEST);
        let [in_transaction, without, attentive] = [
            format!("SET idle_in_transaction_session_timeout = {ms}"),
            format!("SET idle_session_timeout = {ms}"),
            // Not on every system: where the server cannot look after us, this fails.
            "SET client_connection_check_interval = '2s'".to_owned(),
        ];
        // Each by itself: one that fails takes nothing with it.
        let set = async |statement: &str, is_known: bool| {
            if is_known {
                let _ = self.client.batch_execute(statement).await;
            }
        };
        tokio::join!(
            set(&in_transaction, true),
            set(&without, self.is_14),
            set(&attentive, self.is_14)
        );
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

/// Whether a server's version is 14 or later: `14.2`, `18beta1 (Debian ...)`.
fn is_14(version: &str) -> bool {
    let major: String = version.chars().take_while(char::is_ascii_digit).collect();
    major.parse().is_ok_and(|major: u32| major >= 14)
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
        for version in ["14.2", "16beta1", "15.8 (Debian 15.8-0+deb12u1)", "15.4.0", "18"] {
            assert!(is_14(version), "{version}");
        }
        for version in ["13.9", "9.6.24", "", "beta", "99999999999999999999"] {
            assert!(!is_14(version), "{version}");
        }
    }
}
