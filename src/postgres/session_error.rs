//! Why the work in a database failed, and whether it is known what that left.

use tokio_postgres::error::{DbError, SqlState};

use crate::text::{chain, server_said};

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
        "time ran out {doing} in database `{database}`, where the server has gone silent, and \
         nothing was changed there: its log may say why"
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
    },
    /// The connection was lost in COMMIT: all was changed, or nothing.
    #[error("the connection to database `{database}` was lost in `COMMIT`: {why}")]
    Unknown {
        /// The database.
        database: String,
        /// The cause.
        why: String,
    },
    /// A timeout that is not ours ended the session.
    #[error(
        "the session in database `{database}` was ended {doing}, by a timeout that is set for the \
         database or the role: {why}"
    )]
    Ended {
        /// What was being done.
        doing: String,
        /// The database.
        database: String,
        /// What the server said.
        why: String,
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
        let Some(said) = error.as_db_error() else {
            return Self::Lost { doing, database, why: chain(error) };
        };
        let (code, why) = (said.code(), server_said(said));
        if is_shutdown(code) {
            Self::Lost { doing, database, why }
        } else if is_end(code) {
            Self::Ended { doing, database, why }
        } else if is_conflict(said) {
            Self::Victim { doing, database, why }
        } else if !is_timeout(code) || !late {
            Self::Statement { doing, database, why }
        } else if *code == SqlState::LOCK_NOT_AVAILABLE {
            let why = format!("it waited for a lock that another session holds: {why}");
            Self::TimedOut { doing, database, why }
        } else {
            Self::TimedOut { doing, database, why }
        }
    }

    /// The same, with other words for what was being done.
    #[must_use]
    pub fn while_doing(mut self, words: String) -> Self {
        if let Self::Statement { doing, .. }
        | Self::TimedOut { doing, .. }
        | Self::Silent { doing, .. }
        | Self::Lost { doing, .. }
        | Self::Ended { doing, .. }
        | Self::Victim { doing, .. } = &mut self
        {
            *doing = words;
        }
        self
    }

    /// The same of COMMIT: whoever hears no answer to it does not know what became of it.
    #[must_use]
    pub fn in_commit(self) -> Self {
        match self {
            Self::Lost { database, why, .. } | Self::Ended { database, why, .. } => {
                Self::Unknown { database, why }
            }
            Self::Silent { database, .. } => {
                Self::Unknown { database, why: "the server has gone silent".to_owned() }
            }
            known => known,
        }
    }

    /// Whether another visit may go better.
    pub fn may_pass(&self) -> bool {
        self.is_obstinate() || matches!(self, Self::Lost { .. } | Self::Unknown { .. })
    }

    /// Whether that is tried only a few times: what was in the way may stay.
    pub fn is_obstinate(&self) -> bool {
        matches!(self, Self::Victim { .. } | Self::Ended { .. })
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
    [SqlState::ADMIN_SHUTDOWN, SqlState::CRASH_SHUTDOWN].contains(code)
}

/// A timeout that ends a session: `transaction_timeout` too, as PostgreSQL 17 has it.
fn is_end(code: &SqlState) -> bool {
    [SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT, SqlState::IDLE_SESSION_TIMEOUT].contains(code)
        || code.code() == "25P04"
}
