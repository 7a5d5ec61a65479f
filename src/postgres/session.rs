//! The statements in one database: a transaction, the lock, the catalog, the changes.

use std::pin::pin;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio_postgres::types::Type;

use crate::deadline::Deadline;
use crate::planner::catalog::{Catalog, Offers};
use crate::planner::removal::dependents::Dependents;
use crate::planner::removal::ownership::{Claim, ClaimTable};
use crate::planner::step::Step;
use crate::planner::untrusted::Untrusted;
use crate::planner::verify::Placed;
use crate::postgres::connection::{Connection, Output, SEARCH_PATH};
use crate::postgres::session_error::{Error, Kind};

/// How the transaction begins: its settings, then the lock.
const LOCK: &str = include_str!("sql/lock.sql");

/// Who holds the lock: one text, or none.
const LOCK_HOLDER: &str = include_str!("sql/lock_holder.sql");

/// What the database holds: a [`Catalog`].
const CATALOG: &str = include_str!("sql/catalog.sql");

/// What the server offers of extensions, by a JSON array of their names: [`Offers`].
const OFFERS: &str = include_str!("sql/offers.sql");

/// What others have put where extension scripts search, by a JSON array of trusted roles: an
/// [`Untrusted`].
const UNTRUSTED: &str = include_str!("sql/untrusted.sql");

/// Where the claims are: a [`ClaimTable`], or none.
const CLAIM_TABLE: &str = include_str!("sql/claim_table.sql");

/// The claims of all resources: an array of [`Claim`].
const CLAIMS: &str = include_str!("sql/claims.sql");

/// What depends on extensions, by a JSON array of their names: [`Dependents`].
pub const DEPENDENTS: &str = include_str!("sql/dependents.sql");

/// The extensions that are installed: an array of [`Placed`].
const INSTALLED: &str = include_str!("sql/installed.sql");

/// The databases that `*` means: their names as hexadecimal digits.
const DATABASES: &str = include_str!("sql/databases.sql");

const WAITING_FOR_LOCK: &str = "waiting for the lock that requests of this kind share";

const READING: &str = "reading the catalog";

/// A timeout of the function's own comes when less than this is left of the deadline.
const DEADLINE_TOLERANCE: Duration = Duration::from_millis(500);

/// A connection to one database, and its transaction.
pub struct Session {
    connection: Connection,
    database: String,
    deadline: Deadline,
}

/// Name and version of every extension, sorted by name.
pub type Extensions = Vec<(String, String)>;

impl Session {
    /// Makes a session of an open connection.
    pub fn new(connection: Connection, database: String, deadline: Deadline) -> Self {
        Self { connection, database, deadline }
    }

    /// Begins the transaction, takes the lock and reads what the database holds, in one round trip.
    ///
    /// # Errors
    /// The lock is not free in time, or the server fails.
    pub async fn begin(&self) -> Result<Catalog, Error> {
        let mut output = Output::default();
        let sql = format!("{LOCK}{CATALOG}");
        let begin = self.connection.begin(&sql, self.deadline, &mut output);
        match self.bounded(begin, READING).await {
            // The first row is the lock's.
            Err(error) if error.kind == Kind::TimedOut && output.rows.is_empty() => {
                let holder = self.lock_holder().await;
                let why =
                    holder.map_or_else(|| error.why.clone(), |it| format!("{it}; {}", error.why));
                Err(Error { doing: WAITING_FOR_LOCK.to_owned(), why, ..error })
            }
            Err(error) if error.kind == Kind::NoResponse && output.rows.is_empty() => {
                Err(Error { doing: format!("{WAITING_FOR_LOCK}, or {READING}"), ..error })
            }
            result => {
                result?;
                self.parse(&output.rows.pop().unwrap_or_default())
            }
        }
    }

    /// Begins a transaction that changes nothing and takes no lock, and reads what the database holds.
    ///
    /// # Errors
    /// The server fails, or does not respond.
    pub async fn begin_read_only(&self) -> Result<Catalog, Error> {
        let mut output = Output::default();
        let sql = format!("BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY;\n{CATALOG}");
        let begin = self.connection.begin(&sql, self.deadline, &mut output);
        self.bounded(begin, READING).await?;
        self.parse(&output.rows.concat())
    }

    /// Who holds the lock, and what to do about it, as far as the server tells soon.
    async fn lock_holder(&self) -> Option<String> {
        let mut output = Output::default();
        let query = format!("ROLLBACK;\n{SEARCH_PATH};\n{LOCK_HOLDER}");
        let run = self.connection.run(&query, &mut output);
        let _ = tokio::time::timeout(self.deadline.grace(), run).await;
        output.rows.pop()
    }

    /// Where the claims are; `None` where there is no such schema.
    ///
    /// # Errors
    /// The server fails, or does not respond.
    pub async fn claim_table(&self) -> Result<Option<ClaimTable>, Error> {
        self.query(CLAIM_TABLE, None).await
    }

    /// The claims of all resources.
    ///
    /// # Errors
    /// The server fails, or does not respond.
    pub async fn claims(&self) -> Result<Vec<Claim>, Error> {
        self.query(CLAIMS, None).await
    }

    /// What the server offers of these extensions, and what others have put where scripts search, in
    /// one round trip.
    ///
    /// # Errors
    /// The server fails, or does not respond.
    pub async fn offers(&self, names: &[&str]) -> Result<(Offers, Untrusted), Error> {
        let names = json!(names).to_string();
        let offers = self.query(OFFERS, Some(&names));
        let (offers, untrusted) = tokio::join!(offers, self.query(UNTRUSTED, Some("[]")));
        Ok((offers?, untrusted?))
    }

    /// What dropping these extensions would meet: what depends on them, and rows of the user's.
    /// `is_for_change` keeps others from writing such rows until the end of the transaction.
    ///
    /// # Errors
    /// The server fails, or another session keeps a lock on an extension's table.
    pub async fn dependents(
        &self,
        names: &[&str],
        claims: &[Claim],
        is_for_change: bool,
    ) -> Result<Dependents, Error> {
        let names = json!(names).to_string();
        let mut dependents: Dependents = self.query(DEPENDENTS, Some(&names)).await?;
        if let Some(lock) = dependents.rows_lock().filter(|_| is_for_change) {
            let lock = self.connection.client.batch_execute(&lock);
            self.bounded(lock, "waiting for those who write to an extension's tables").await?;
        }
        if let Some(query) = dependents.rows_query(claims) {
            dependents.set_rows(&self.query::<Vec<bool>>(&query, None).await?);
        }
        Ok(dependents)
    }

    /// Runs the steps, reads back what is installed, and what others have put where scripts search,
    /// as of the roles that were `trusted` before: in one round trip. Nothing of it stays without
    /// [`Self::commit`].
    ///
    /// # Errors
    /// A step failed, or the connection was lost.
    pub async fn apply(
        &self,
        steps: &[Step],
        trusted: &[String],
    ) -> Result<(Vec<Placed>, Untrusted), Error> {
        let (lock_ms, ms) = self.deadline.timeouts();
        let settings = [
            format!("SET LOCAL lock_timeout = {lock_ms}"),
            format!("SET LOCAL statement_timeout = {ms}"),
        ];
        // An extension's script may have set another search path.
        let with_path = |statement: String| [SEARCH_PATH.to_owned(), statement];
        let changes = steps.iter().map(ToString::to_string).chain([INSTALLED.to_owned()]);
        let batch: Vec<String> =
            settings.iter().cloned().chain(changes.flat_map(with_path)).collect();
        let mut output = Output::default();
        let run = async { self.connection.run(&batch.join(";\n"), &mut output).await };
        let trusted = json!(trusted).to_string();
        let (result, untrusted) = tokio::join!(
            self.bounded(run, "changing extensions"),
            self.query(UNTRUSTED, Some(&trusted)),
        );
        let step = steps.get(output.statements.saturating_sub(settings.len()) / 2);
        let step = step.map_or_else(|| "reading back".to_owned(), |step| format!("`{step}`"));
        match result {
            Ok(()) => Ok((self.parse(&output.rows.concat())?, untrusted?)),
            Err(error) if error.kind == Kind::Statement => Err(Error { doing: step, ..error }),
            Err(error) => Err(Error { doing: format!("in {step}"), ..error }),
        }
    }

    /// Commits.
    ///
    /// # Errors
    /// It failed, and nothing was changed; or its outcome is [not known](Kind::OutcomeUnknown).
    pub async fn commit(&self) -> Result<(), Error> {
        let commit = self.connection.client.batch_execute("COMMIT");
        self.bounded(commit, "`COMMIT`").await.map_err(Error::in_commit)
    }

    /// Every extension, without the lock: for a database that is only read.
    ///
    /// # Errors
    /// The server fails, or does not respond.
    pub async fn installed(&self) -> Result<Vec<Placed>, Error> {
        let mut output = Output::default();
        let read = self.connection.begin(INSTALLED, self.deadline, &mut output);
        self.bounded(read, "reading the extensions").await?;
        self.parse(&output.rows.concat())
    }

    /// The names of the databases that `*` means, which may be no UTF-8.
    ///
    /// # Errors
    /// The server fails, or does not respond.
    pub async fn databases(&self) -> Result<Vec<Vec<u8>>, Error> {
        let mut output = Output::default();
        let read = self.connection.begin(DATABASES, self.deadline, &mut output);
        self.bounded(read, "reading the list of databases").await?;
        Ok(output.rows.iter().map(|digits| bytes(digits)).collect())
    }

    /// Disconnects; what is not committed is rolled back.
    pub async fn close(self) {
        self.connection.close().await;
    }

    /// Runs a query that answers with one JSON document, or with no row, which is as `null`.
    async fn query<T: DeserializeOwned>(
        &self,
        sql: &str,
        parameter: Option<&str>,
    ) -> Result<T, Error> {
        let rows = async {
            let parameter = parameter.as_ref();
            let parameters = parameter.map(|text| (text as _, Type::TEXT));
            let parameters: Vec<_> = parameters.into_iter().collect();
            let rows = self.connection.client.query_typed(sql, &parameters).await?;
            rows.first().map(|row| row.try_get::<_, String>(0)).transpose()
        };
        let text = self.bounded(rows, READING).await?;
        self.parse(text.as_deref().unwrap_or("null"))
    }

    fn parse<'a, T: Deserialize<'a>>(&self, text: &'a str) -> Result<T, Error> {
        serde_json::from_str(text).map_err(|error| Error {
            kind: Kind::Statement,
            doing: READING.to_owned(),
            database: self.database.clone(),
            why: error.to_string(),
        })
    }

    /// Runs `work` until the deadline, and then tells the server to stop.
    async fn bounded<T>(
        &self,
        work: impl Future<Output = Result<T, tokio_postgres::Error>>,
        doing: &str,
    ) -> Result<T, Error> {
        let (doing, database) = (doing.to_owned(), self.database.clone());
        let mut work = pin!(work);
        let end = self.deadline.work_until() + self.deadline.grace();
        let mut result = tokio::time::timeout_at(end.into(), &mut work).await;
        if result.is_err() {
            self.connection.cancel(self.deadline.grace()).await;
            result = tokio::time::timeout(self.deadline.grace(), work).await;
        }
        let Ok(result) = result else {
            return Err(Error { kind: Kind::NoResponse, doing, database, why: String::new() });
        };
        let is_late = self.deadline.left() < DEADLINE_TOLERANCE;
        result.map_err(|error| Error::of(&error, doing, database, is_late))
    }
}

/// The bytes that hexadecimal digits say.
fn bytes(digits: &str) -> Vec<u8> {
    let pairs = (0..digits.len()).step_by(2).filter_map(|at| digits.get(at..at + 2));
    pairs.filter_map(|pair| u8::from_str_radix(pair, 16).ok()).collect()
}
