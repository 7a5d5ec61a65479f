//! The work in one database: a transaction, a lock, one look, one batch.

use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio_postgres::types::{ToSql, Type};

use crate::deadline::Budget;
use crate::planner::catalog::{Observed, Obstacles, Offered};
use crate::planner::plan::{self, Plan};
use crate::planner::removal::ownership::{Claim, Home};
use crate::planner::untrusted::Ground;
use crate::planner::verify::Placed;
use crate::postgres::connection::{Connection, Output, PIN};
use crate::postgres::look::{self, Look};
use crate::postgres::session_error::Error;
use crate::request::Wanted;

/// How the transaction begins: its settings, then the lock.
const BEGIN: &str = include_str!("sql/lock.sql");

/// What that may take long for.
const WAITING: &str = "waiting for the lock that requests of this kind share";

/// Who holds the lock: one text, or none.
const HOLDER: &str = include_str!("sql/lock_holder.sql");

/// Gives back what the first look goes without: for the changes, and for the conditions of extensions'
/// tables, which are an extension's own SQL and may need it.
const USUAL_MEMORY: &str = "SET LOCAL work_mem TO DEFAULT";

/// The extensions that are there: one JSON array of [`Placed`].
const READ_BACK: &str = include_str!("sql/installed.sql");

/// The claims of all resources, where there is such a table.
const CLAIMS: &str = include_str!("sql/claims.sql");

/// What depends on extensions; takes their names as a JSON array.
pub const DEPENDENTS: &str = include_str!("sql/dependents.sql");

/// What others have put where extension scripts search.
const UNTRUSTED: &str = include_str!("sql/untrusted.sql");

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
        let known = offers.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut observed = self.seen(wanted, &known, budget).await?;
        observed.share_offers(known, &mut offers.lock().unwrap_or_else(PoisonError::into_inner));
        let doomed = plan::doomed(wanted, &observed);
        if !doomed.is_empty() {
            let obstacles = self.obstacles(&doomed, &observed.claims, budget).await?;
            observed.obstacles = obstacles;
        }
        if let Some(question) = plan::ground_question(wanted, &observed) {
            observed.ground = self.ground(&question, budget).await?;
        }
        Ok(observed)
    }

    /// What others have put where extension scripts search.
    async fn ground(&self, question: &Value, budget: Budget) -> Result<Ground, Error> {
        let text = self.look(UNTRUSTED, &[(&question.to_string(), Type::TEXT)], budget).await?;
        self.parsed(&text)
    }

    /// Begins, and looks; where there are claims, at them too.
    async fn seen(
        &self,
        wanted: &Wanted,
        known: &[Offered],
        budget: Budget,
    ) -> Result<Observed, Error> {
        let question = Look::new(wanted, known);
        let mut output = Output::default();
        let look = async {
            let glance = format!("{BEGIN}{}", question.glance());
            match self.connection.begin(&glance, budget, &mut output).await {
                Err(error) if look::is_out_of_reach(&error) => {
                    output = Output::default();
                    let whole = format!("ROLLBACK;\n{PIN};\n{BEGIN}{}", question.whole());
                    self.connection.run(&whole, &mut output).await
                }
                done => done,
            }
        };
        let looked =
            self.bounded(look, budget, &format!("{WAITING}, or reading the catalog")).await;
        match looked {
            // The first row is the lock's.
            Err(Error::TimedOut { database, why, .. }) if output.rows.is_empty() => {
                let holder = self.holder(budget).await;
                let why = holder.map_or(why.clone(), |holder| format!("{holder}; {why}"));
                return Err(Error::TimedOut { doing: WAITING.to_owned(), database, why });
            }
            Err(Error::TimedOut { database, why, .. }) => {
                let doing = "reading the catalog".to_owned();
                return Err(Error::TimedOut { doing, database, why });
            }
            looked => looked?,
        }
        let text = output.rows.pop().unwrap_or_default();
        let mut observed = look::seen(&text).map_err(|error| self.unreadable(&error))?;
        if observed.home.as_ref().is_some_and(Home::has_claims) {
            let text = self.look(CLAIMS, &[], budget).await?;
            observed.claims = self.parsed(&text)?;
        }
        Ok(observed)
    }

    /// Who holds the lock, and what to do about it, as far as the server tells soon.
    async fn holder(&self, budget: Budget) -> Option<String> {
        let mut output = Output::default();
        let question = format!("ROLLBACK;\n{PIN};\n{HOLDER}");
        let _ =
            tokio::time::timeout(budget.grace(), self.connection.run(&question, &mut output)).await;
        output.rows.pop()
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
            self.look(DEPENDENTS, &question, budget),
        );
        memory?;
        let text = text?;
        let mut obstacles: Obstacles = self.parsed(&text)?;
        if let Some(lock) = obstacles.rows_lock() {
            let lock = self.connection.client.batch_execute(&lock);
            self.bounded(lock, budget, "waiting for those who write to an extension's tables")
                .await?;
        }
        if let Some(query) = obstacles.rows_query(claims) {
            let text = self.look(&query, &[], budget).await?;
            obstacles.has_rows(&self.parsed::<Vec<bool>>(&text)?);
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

    /// Runs the plan's steps, reads back, and where scripts were run looks at the ground once more: in
    /// one round trip. Nothing of it stays without [`Self::commit`].
    ///
    /// # Errors
    /// A step failed, or the connection was lost.
    pub async fn apply(
        &self,
        plan: &Plan,
        ground_question: Option<Value>,
        budget: Budget,
    ) -> Result<(Vec<Placed>, Ground), Error> {
        let (lock_ms, ms) = budget.timeouts();
        let settings = [
            USUAL_MEMORY.to_owned(),
            format!("SET LOCAL lock_timeout = {lock_ms}"),
            format!("SET LOCAL statement_timeout = {ms}"),
        ];
        // An extension's script may have set another search path.
        let pinned = |statement: String| [PIN.to_owned(), statement];
        let steps = plan.steps.iter().map(ToString::to_string).flat_map(pinned);
        let batch: Vec<String> =
            settings.iter().cloned().chain(steps).chain(pinned(READ_BACK.to_owned())).collect();
        let mut output = Output::default();
        let run = async { self.connection.run(&batch.join(";\n"), &mut output).await };
        let run = self.bounded(run, budget, "changing extensions");
        let look = async {
            let Some(question) = ground_question else { return Ok(Ground::default()) };
            self.ground(&question, budget).await
        };
        let (result, ground) = tokio::join!(run, look);
        let step = plan.steps.get(output.statements.saturating_sub(settings.len()) / 2);
        let step = step.map_or_else(|| "reading back".to_owned(), |step| format!("`{step}`"));
        match result {
            Ok(()) => Ok((self.parsed(&output.rows.concat())?, ground?)),
            Err(Error::Statement { database, why, .. }) => {
                Err(Error::Statement { doing: step, database, why })
            }
            Err(error) => Err(error.while_doing(format!("in {step}"))),
        }
    }

    /// Commits.
    ///
    /// # Errors
    /// It failed, and nothing was changed; or whether it did is [not known](Error::Unknown).
    pub async fn commit(&self, budget: Budget) -> Result<(), Error> {
        let commit = self.connection.client.batch_execute("COMMIT");
        self.bounded(commit, budget, "`COMMIT`").await.map_err(Error::in_commit)
    }

    /// Every extension, without the lock: for a database that is only looked at.
    ///
    /// # Errors
    /// The server fails, or says nothing.
    pub async fn extensions(&self, budget: Budget) -> Result<Extensions, Error> {
        let mut output = Output::default();
        let read = self.connection.begin(READ_BACK, budget, &mut output);
        self.bounded(read, budget, "reading the extensions").await?;
        let placed: Vec<Placed> = self.parsed(&output.rows.concat())?;
        Ok(placed.into_iter().map(|(name, version, _)| (name, version)).collect())
    }

    /// Hangs up; what is not committed is rolled back.
    pub async fn close(self) {
        self.connection.close().await;
    }

    fn parsed<T: serde::de::DeserializeOwned>(&self, text: &str) -> Result<T, Error> {
        serde_json::from_str(text).map_err(|error| self.unreadable(&error))
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
