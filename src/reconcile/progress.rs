//! How far a request has come: the physical resource id of a failure depends on it, and the metrics.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::postgres::target::Target;

/// How far a request has come.
#[derive(Debug, Default)]
pub struct Progress {
    target: OnceLock<Target>,
    /// Databases whose COMMIT was sent, and whose outcome is not known.
    outcomes_unknown: AtomicUsize,
    has_changed: AtomicBool,
    /// How many databases the request is about.
    databases: AtomicUsize,
    /// How many changes were committed.
    changes: AtomicUsize,
}

impl Progress {
    /// The server is known.
    pub fn set_target(&self, target: &Target) {
        // The first is as good as any other: rotation changes passwords, not hosts.
        let _ = self.target.set(target.clone());
    }

    /// The server, where it is known.
    pub fn target(&self) -> Option<&Target> {
        self.target.get()
    }

    /// A database is as desired: what it holds is this resource's from now on.
    pub fn set_up_to_date(&self) {
        self.has_changed.store(true, Ordering::SeqCst);
    }

    /// A COMMIT was sent.
    pub fn commit_sent(&self) {
        self.outcomes_unknown.fetch_add(1, Ordering::SeqCst);
    }

    /// Its outcome is known: whether the changes stayed.
    pub fn outcome_known(&self, changed: bool) {
        self.has_changed.fetch_or(changed, Ordering::SeqCst);
        self.outcomes_unknown.fetch_sub(1, Ordering::SeqCst);
    }

    /// Whether changes stayed, or may have.
    pub fn may_have_left_something(&self) -> bool {
        self.has_changed.load(Ordering::SeqCst) || self.outcomes_unknown.load(Ordering::SeqCst) > 0
    }

    /// The request is about so many databases.
    pub fn set_databases(&self, count: usize) {
        self.databases.store(count, Ordering::SeqCst);
    }

    /// So many changes were committed.
    pub fn add_changes(&self, count: usize) {
        self.changes.fetch_add(count, Ordering::SeqCst);
    }

    /// How many databases the request is about, and how many changes were committed.
    pub fn counts(&self) -> (usize, usize) {
        (self.databases.load(Ordering::SeqCst), self.changes.load(Ordering::SeqCst))
    }
}
