//! Why the work in a database failed, and whether its outcome is known.

use std::fmt::{self, Display, Formatter};

use tokio_postgres::error::{DbError, SqlState};

use crate::postgres::server_message::{described, of_server};

/// Why the work in a database failed.
#[derive(Debug)]
pub struct Error {
    /// What kind of failure it is.
    pub kind: Kind,
    /// What was being done.
    pub doing: String,
    /// The database.
    pub database: String,
    /// What the server said, or what happened on the way to it.
    pub why: String,
}

/// What kind of failure it is. Nothing was changed, unless the outcome is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A statement failed.
    Statement,
    /// The deadline passed.
    TimedOut,
    /// The deadline passed, and the server does not even respond to a cancel request.
    NoResponse,
    /// The connection was lost.
    ConnectionLost,
    /// The connection was lost in COMMIT: all was changed, or nothing.
    OutcomeUnknown,
    /// A timeout of the database's or the role's own ended the session.
    SessionEnded,
    /// A deadlock, or a conflict with another transaction.
    Conflict,
}

impl Display for Error {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let Self { kind, doing, database, why } = self;
        match kind {
            Kind::Statement => write!(
                out,
                "{doing} in database `{database}` failed, and nothing was changed there: {why}"
            ),
            Kind::TimedOut => write!(
                out,
                "time ran out {doing} in database `{database}`, and nothing was changed there: {why}; \
                 end what holds it up, or give it more time (`ServiceTimeout`, and the parameter \
                 `Timeout` of the function's stack)"
            ),
            Kind::NoResponse => write!(
                out,
                "time ran out {doing} in database `{database}`, where the server does not respond, \
                 and nothing was changed there: check the server's log"
            ),
            Kind::ConnectionLost => {
                write!(out, "the connection to database `{database}` was lost {doing}: {why}")
            }
            Kind::OutcomeUnknown => {
                write!(out, "the connection to database `{database}` was lost in `COMMIT`: {why}")
            }
            Kind::SessionEnded => write!(
                out,
                "the session in database `{database}` was ended {doing}, by a timeout that is set for \
                 the database or the role: {why}"
            ),
            Kind::Conflict => write!(
                out,
                "another transaction was in the way of {doing} in database `{database}`: {why}"
            ),
        }
    }
}

impl std::error::Error for Error {}

impl Error {
    /// What it means that the server, or the way to it, failed while `doing` something; `late` says
    /// that the deadline has as good as passed: what is cancelled earlier, an administrator has
    /// cancelled.
    pub fn of(error: &tokio_postgres::Error, doing: String, database: String, late: bool) -> Self {
        let Some(said) = error.as_db_error() else {
            let (kind, why) = (Kind::ConnectionLost, described(error));
            return Self { kind, doing, database, why };
        };
        let (code, mut why) = (said.code(), of_server(said));
        let kind = if [SqlState::ADMIN_SHUTDOWN, SqlState::CRASH_SHUTDOWN].contains(code) {
            Kind::ConnectionLost
        } else if ends_session(code) {
            Kind::SessionEnded
        } else if is_conflict(said) {
            Kind::Conflict
        } else if late && *code == SqlState::LOCK_NOT_AVAILABLE {
            why = format!("it waited for a lock that another session holds: {why}");
            Kind::TimedOut
        } else if late && *code == SqlState::QUERY_CANCELED {
            Kind::TimedOut
        } else {
            Kind::Statement
        };
        Self { kind, doing, database, why }
    }

    /// The same of COMMIT: where the connection is lost, its outcome is not known.
    #[must_use]
    pub fn in_commit(mut self) -> Self {
        if self.kind == Kind::NoResponse {
            "the server does not respond".clone_into(&mut self.why);
        }
        if matches!(self.kind, Kind::ConnectionLost | Kind::SessionEnded | Kind::NoResponse) {
            self.kind = Kind::OutcomeUnknown;
        }
        self
    }

    /// Whether another attempt may succeed.
    pub fn is_transient(&self) -> bool {
        self.is_retried_few_times()
            || matches!(self.kind, Kind::ConnectionLost | Kind::OutcomeUnknown)
    }

    /// Whether another attempt is made only a few times: what was in the way may stay.
    pub fn is_retried_few_times(&self) -> bool {
        matches!(self.kind, Kind::Conflict | Kind::SessionEnded)
    }
}

/// A conflict with another transaction, which may be gone the next time.
fn is_conflict(said: &DbError) -> bool {
    let code = said.code();
    // A session that does not take the lock has created the same extension at the same moment. The
    // script of an extension may meet the same errors, each time.
    let twice = *code == SqlState::UNIQUE_VIOLATION && said.schema() == Some("pg_catalog")
        || *code == SqlState::DUPLICATE_OBJECT && said.routine() == Some("CreateExtension");
    let lost = [SqlState::T_R_DEADLOCK_DETECTED, SqlState::T_R_SERIALIZATION_FAILURE];
    twice || lost.contains(code)
}

/// A timeout that ends a session: `transaction_timeout` too, as PostgreSQL 17 has it.
fn ends_session(code: &SqlState) -> bool {
    [SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT, SqlState::IDLE_SESSION_TIMEOUT].contains(code)
        || code.code() == "25P04"
}
