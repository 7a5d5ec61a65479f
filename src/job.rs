//! A database, and what it has to do with a request.

use crate::error::Error;

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
    /// The request before, or the Create of what is deleted, was about it: all entries have left
    /// there.
    Left,
    /// It is on the same server, and may hold claims of the resource.
    Elsewhere,
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
            Part::Elsewhere => {
                error.is_closed() || matches!(error, Error::Connection(_)) && !error.is_gone()
            }
        }
    }

    /// Whether the request is about it.
    pub fn is_wanted(&self) -> bool {
        self.part == Part::Wanted
    }
}
