//! Why the work in a database failed, and whether it is known what that left.

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
