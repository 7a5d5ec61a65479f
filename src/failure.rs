//! Why the work in a database failed, and whether it is known what that left.

use tokio_postgres::error::{DbError, SqlState};

use crate::words::{chain, server_said};

/// Why the work failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
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
    /// Time ran out, and the server said nothing, not even to a cancel request.
    #[error(
        "time ran out {doing} in database `{database}`, where the server has gone silent: its \
             log may say why"
    )]
    Silent {
        /// What was being done.
        doing: String,
        /// The database.
        database: String,
    },
    /// The connection was lost.
    #[error("the connection to database `{database}` was lost {doing}: {why}")]
    Lost {
        /// What was being done.
        doing: String,
        /// The database.
        database: String,
        /// The cause.
        why: String,
        /// Whether it is known that nothing was changed.
        settled: bool,
    },
    /// A deadlock, or a conflict with another transaction: rolled back.
    #[error("another transaction was in the way of {doing} in database `{database}`: {why}")]
    Victim {
        /// What was being done.
        doing: String,
        /// The database.
        database: String,
        /// What the server said.
        why: String,
    },
}

impl Error {
    /// What it means that the server, or the way to it, failed while `doing` something; `late` says
    /// that our time is as good as up: what is cancelled earlier, somebody else has cancelled.
    pub fn of(error: &tokio_postgres::Error, doing: String, database: String, late: bool) -> Self {
        match error.as_db_error() {
            Some(said) if is_timeout(said.code()) && late => {
                Self::TimedOut { doing, database, why: server_said(said) }
            }
            Some(said) if is_conflict(said) => {
                Self::Victim { doing, database, why: server_said(said) }
            }
            Some(said) if !is_shutdown(said.code()) => {
                Self::Statement { doing, database, why: server_said(said) }
            }
            _ => Self::Lost { doing, database, why: chain(error), settled: true },
        }
    }

    /// Whether another visit may go better: the connection was lost, or the server chose us as the
    /// victim of a deadlock.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Lost { .. } | Self::Victim { .. })
    }

    /// Whether another transaction was in the way.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Victim { .. })
    }

    /// Whether it is known that nothing was changed.
    pub fn is_settled(&self) -> bool {
        !matches!(self, Self::Lost { settled: false, .. })
    }
}

/// A timeout of ours, or a cancelled query.
fn is_timeout(code: &SqlState) -> bool {
    [SqlState::QUERY_CANCELED, SqlState::LOCK_NOT_AVAILABLE].contains(code)
}

/// A conflict with another transaction, which may be gone the next time.
fn is_conflict(said: &DbError) -> bool {
    let code = said.code();
    // Somebody who does not take our lock has created the same extension at the same moment. The
    // script of an extension may meet the same errors, each time.
    let twice = *code == SqlState::UNIQUE_VIOLATION && said.schema() == Some("pg_catalog")
        || *code == SqlState::DUPLICATE_OBJECT && said.routine() == Some("CreateExtension");
    let lost = [SqlState::T_R_DEADLOCK_DETECTED, SqlState::T_R_SERIALIZATION_FAILURE];
    twice || lost.contains(code)
}

/// The server, or somebody with rights, ended our connection.
fn is_shutdown(code: &SqlState) -> bool {
    [
        SqlState::ADMIN_SHUTDOWN,
        SqlState::CRASH_SHUTDOWN,
        SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
        SqlState::IDLE_SESSION_TIMEOUT,
    ]
    .contains(code)
}
