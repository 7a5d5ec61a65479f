//! A database, and what it has to do with a request.

use crate::reconcile::error::Error;

/// A database, and what it has to do with the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// Its name.
    pub database: String,
    /// Why it is reconciled.
    pub scope: Scope,
    /// Whether the request names it, and does not only mean it by `*`.
    pub is_named: bool,
}

/// What a database has to do with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The request is about it.
    Listed,
    /// The request before was about it: all entries have left there.
    NoLongerListed,
    /// What is there of the resource is deleted.
    Deleted,
}

impl Task {
    /// Whether nothing is lost where the database cannot be reconciled.
    pub fn may_skip(&self, error: &Error) -> bool {
        match self.scope {
            Scope::Listed => false,
            Scope::NoLongerListed => error.is_database_unavailable(),
            Scope::Deleted => error.is_unreachable(),
        }
    }

    /// Whether the request is about it.
    pub fn is_listed(&self) -> bool {
        self.scope == Scope::Listed
    }
}
