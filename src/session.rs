//! The work in one database: a transaction, a lock, one look, one batch.

use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::TryStreamExt;
use serde_json::Value;
use tokio_postgres::SimpleQueryMessage;
use tokio_postgres::types::{ToSql, Type};

use crate::budget::Budget;
use crate::claim::{self, Claim, Home};
use crate::connection::Connection;
use crate::failure::Error;
use crate::ground;
use crate::look::{self, Look};
use crate::observed::{self, Observed, Obstacles, Offered};
use crate::plan::{self, Plan};
use crate::request::Wanted;

/// How the transaction begins: the settings, then the lock. `{ms}` is what is left of the budget,
/// `{lock_ms}` a little less.
const BEGIN: &str = include_str!("begin.sql");

/// Gives back what the first look goes without: for the changes, and for the conditions of extensions'
/// tables, which are an extension's own SQL and may need it.
const USUAL_MEMORY: &str = "SET LOCAL work_mem TO DEFAULT";

/// The extensions that are there, after the steps.
const READ_BACK: &str = include_str!("read_back.sql");

/// The same, for a database that is only looked at.
const REFERENCE: &str = include_str!("reference.sql");

/// A timeout of ours comes when less than this is left.
const NEARLY: Duration = Duration::from_millis(500);

/// A connection to one database, and its transaction.
pub struct Session {
    connection: Connection,
    database: String,
}

/// Name and version of every extension, sorted by name.
pub type Extensions = Vec<(String, String)>;

impl Session {
    /// Makes a session of an open connection.
    pub fn new(connection: Connection, database: String) -> Self {
        Self { connection, database }
    }

    /// Begins the transaction, takes the lock and looks, in one flight; where there are claims, in
    /// one more, and where extensions shall be dropped, in up to two more.
    ///
    /// `offers` is what is known from other databases of the server, and gets what is new: the
    /// server takes longer for this than for all the rest, and has one list for all its databases
    /// (where it has not, the look reads it again).
    ///
    /// # Errors
    /// The lock is not to be had in time, or the server fails.
    pub async fn observe(
        &self,
        wanted: &Wanted,
        offers: &Mutex<Vec<Offered>>,
        budget: Budget,
    ) -> Result<Observed, Error> {
        let (lock_ms, ms) = timeouts(budget);
        let begin =
            BEGIN.replace("{lock_ms}", &lock_ms.to_string()).replace("{ms}", &ms.to_string());
        let known = offers.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut observed = self.seen(wanted, &known, &begin, budget).await?;
        observed.share_offers(known, &mut offers.lock().unwrap_or_else(PoisonError::into_inner));
        let doomed = plan::doomed(wanted, &observed);
        if !doomed.is_empty() {
            let obstacles = self.obstacles(&doomed, &observed.claims, budget).await?;
            observed.obstacles = obstacles;
        }
        if let Some(question) = plan::ground_question(wanted, &observed) {
            let text =
                self.look(ground::SQL, &[(&question.to_string(), Type::TEXT)], budget).await?;
            observed.ground = self.parsed(Some(&text))?;
        }
        Ok(observed)
    }

    /// Begins, and looks; where there are claims, at them too.
    async fn seen(
        &self,
        wanted: &Wanted,
        known: &[Offered],
        begin: &str,
        budget: Budget,
    ) -> Result<Observed, Error> {
        let doing = "waiting for the lock that requests of this kind share, or reading the catalog";
        let question = Look::new(wanted, known);
        let parameters = question.parameters();
        let look = async {
            let ((), text) = tokio::join!(
                self.connection.limit_lifetime(budget),
                self.begun(begin, look::SQL, &parameters),
            );
            match text {
                Err(error) if look::is_out_of_reach(&error) => {
                    let (sql, parameters) = question.whole();
                    self.begun(&format!("ROLLBACK; {begin}"), &sql, &parameters).await
                }
                text => text,
            }
        };
        let text = self.bounded(look, budget, doing).await?;
        let mut observed = look::seen(&text).map_err(|error| self.unreadable(&error))?;
        if observed.home.as_ref().is_some_and(Home::has_claims) {
            let text = self.look(claim::SQL, &[], budget).await?;
            observed.claims = self.parsed(Some(&text))?;
        }
        Ok(observed)
    }

    /// Begins, and asks for a text: in one flight.
    async fn begun(
        &self,
        begin: &str,
        sql: &str,
        parameters: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<String, tokio_postgres::Error> {
        let (start, row) = tokio::join!(
            self.connection.client.batch_execute(begin),
            self.connection.client.query_typed_one(sql, parameters),
        );
        start?;
        row?.try_get(0)
    }

    /// What dropping these would meet.
    async fn obstacles(
        &self,
        doomed: &[&str],
        claims: &[Claim],
        budget: Budget,
    ) -> Result<Obstacles, Error> {
        let names = Value::from(doomed.to_vec()).to_string();
        let question: [(&(dyn ToSql + Sync), Type); 1] = [(&names, Type::TEXT)];
        let memory = self.connection.client.batch_execute(USUAL_MEMORY);
        let (memory, text) = tokio::join!(
            self.bounded(memory, budget, "reading the catalog"),
            self.look(observed::OBSTACLES, &question, budget),
        );
        memory?;
        let text = text?;
        let mut obstacles: Obstacles = self.parsed(Some(&text))?;
        if let Some(lock) = obstacles.rows_lock() {
            let lock = self.connection.client.batch_execute(&lock);
            self.bounded(lock, budget, "waiting for those who write to an extension's tables")
                .await?;
        }
        if let Some(query) = obstacles.rows_query(claims) {
            let text = self.look(&query, &[], budget).await?;
            obstacles.has_rows(&self.parsed::<Vec<bool>>(Some(&text))?);
        }
        Ok(obstacles)
    }

    /// One more look, in a flight of its own: only where something may be dropped.
    async fn look(
        &self,
        sql: &str,
        parameters: &[(&(dyn ToSql + Sync), Type)],
        budget: Budget,
    ) -> Result<String, Error> {
        let row = async {
            self.connection.client.query_typed_one(sql, parameters).await?.try_get::<_, String>(0)
        };
        self.bounded(row, budget, "reading the catalog").await
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
        let (lock_ms, ms) = timeouts(budget);
        let mut batch: Vec<String> = vec![
            USUAL_MEMORY.to_owned(),
            format!("SET LOCAL lock_timeout = {lock_ms}"),
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
            let mut messages = pin!(self.connection.client.simple_query_raw(&text).await?);
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
            Err(Error::Silent { database, .. }) => {
                return Err(Error::Lost {
                    doing: format!("in {doing}"),
                    database,
                    why: "the server has gone silent".to_owned(),
                    settled: false,
                });
            }
            Err(Error::Lost { database, why, .. }) => {
                return Err(Error::Lost {
                    doing: format!("in {doing}"),
                    database,
                    why,
                    settled: false,
                });
            }
            Err(error) => return Err(error),
        }
        self.parsed(extensions.as_deref())
    }

    /// Every extension, without the lock: for a database that is only looked at.
    ///
    /// # Errors
    /// The server fails, or says nothing.
    pub async fn extensions(&self, budget: Budget) -> Result<Extensions, Error> {
        let read = async {
            let ((), messages) = tokio::join!(
                self.connection.limit_lifetime(budget),
                self.connection.client.simple_query(REFERENCE),
            );
            Ok(messages?.iter().find_map(|message| match message {
                SimpleQueryMessage::Row(row) => row.get(0).map(ToOwned::to_owned),
                _ => None,
            }))
        };
        let text = self.bounded(read, budget, "reading the extensions").await?;
        self.parsed(text.as_deref())
    }

    /// Hangs up; what is not committed is rolled back.
    pub async fn close(self) {
        self.connection.close().await;
    }

    fn parsed<T: serde::de::DeserializeOwned>(&self, text: Option<&str>) -> Result<T, Error> {
        serde_json::from_str(text.unwrap_or_default()).map_err(|error| self.unreadable(&error))
    }

    fn unreadable(&self, error: &serde_json::Error) -> Error {
        Error::Statement {
            doing: "reading the catalog".to_owned(),
            database: self.database.clone(),
            why: error.to_string(),
        }
    }

    /// Runs `work` until the budget ends, and then tells the server to stop.
    async fn bounded<T>(
        &self,
        work: impl Future<Output = Result<T, tokio_postgres::Error>>,
        budget: Budget,
        doing: &str,
    ) -> Result<T, Error> {
        let (doing, database) = (doing.to_owned(), self.database.clone());
        let mut work = pin!(work);
        let end = budget.work_until() + budget.grace();
        let mut result = tokio::time::timeout_at(end.into(), &mut work).await;
        if result.is_err() {
            self.connection.cancel(budget.grace()).await;
            result = tokio::time::timeout(budget.grace(), work).await;
        }
        let Ok(result) = result else { return Err(Error::Silent { doing, database }) };
        result.map_err(|error| Error::of(&error, doing, database, budget.left() < NEARLY))
    }
}

/// `lock_timeout` and `statement_timeout`, in milliseconds: the first a little shorter.
fn timeouts(budget: Budget) -> (i32, i32) {
    let ms = budget.left_in_milliseconds();
    ((ms - 100).max(1), ms)
}
