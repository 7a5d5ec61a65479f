//! What a request may have left behind so far: the physical resource id of a failure depends on it.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// How far a request has come.
#[derive(Debug, Default)]
pub struct Progress {
    server: OnceLock<(String, u16)>,
    /// Databases whose COMMIT was sent, and whose outcome is not known.
    outcomes_unknown: AtomicUsize,
    changed: AtomicBool,
}

impl Progress {
    /// The server is known.
    pub fn set_server(&self, host: &str, port: u16) {
        // The first is as good as any other: rotation changes passwords, not hosts.
        let _ = self.server.set((host.to_owned(), port));
    }

    /// Host and port of the server, where they are known.
    pub fn server(&self) -> Option<&(String, u16)> {
        self.server.get()
    }

    /// A COMMIT was sent.
    pub fn commit_sent(&self) {
        self.outcomes_unknown.fetch_add(1, Ordering::SeqCst);
    }

    /// Its outcome is known: whether the changes stayed.
    pub fn outcome_known(&self, changed: bool) {
        self.changed.fetch_or(changed, Ordering::SeqCst);
        self.outcomes_unknown.fetch_sub(1, Ordering::SeqCst);
    }

    /// Whether changes stayed, or may have.
    pub fn may_have_left_something(&self) -> bool {
        self.changed.load(Ordering::SeqCst) || self.outcomes_unknown.load(Ordering::SeqCst) > 0
    }
}
