//! A database, and what it has to do with a request.

use crate::reconcile::error::Error;

/// A database, and what it has to do with the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Its name.
    pub database: String,
    /// Why it is visited.
    pub part: Part,
}

/// What a database has to do with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The request is about it.
    Wanted,
    /// The request before was about it: all entries have left there.
    Left,
    /// What is there of the resource is deleted.
    Deleted,
}

impl Job {
    /// One each, for the same reason.
    pub fn each(databases: Vec<String>, part: Part) -> Vec<Self> {
        databases.into_iter().map(|database| Self { database, part }).collect()
    }

    /// Whether nothing is lost where it cannot be entered.
    pub fn may_pass_over(&self, error: &Error) -> bool {
        match self.part {
            Part::Wanted => false,
            Part::Left => error.is_closed(),
            Part::Deleted => error.is_gone(),
        }
    }

    /// Whether the request is about it.
    pub fn is_wanted(&self) -> bool {
        self.part == Part::Wanted
    }
}
