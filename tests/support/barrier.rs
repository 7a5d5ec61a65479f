//! A point in the server's work at which it waits for the test.

use super::database::{Database, Server, Session};
use super::fault_injection::eventually;

/// The number of the advisory lock that the server waits for.
const LOCK: u32 = 4711;

/// A barrier in one database, closed until it is opened.
pub struct Barrier {
    session: Session,
}

impl Barrier {
    /// A statement of PL/pgSQL's that waits until the barrier is open.
    pub fn statement() -> String {
        format!("PERFORM pg_advisory_xact_lock_shared({LOCK})")
    }

    /// Closes one in a test's database.
    pub fn close(database: &Database) -> Self {
        Self::close_at(database.server, &database.name)
    }

    /// Closes one in a database of a server.
    pub fn close_at(server: &Server, database: &str) -> Self {
        let session = server.connect(database);
        session.query(&format!("SELECT pg_advisory_lock({LOCK})"));
        Self { session }
    }

    /// Waits until a session waits at the barrier; returns its process id.
    #[track_caller]
    pub fn until_reached(&self) -> String {
        let waiting = format!(
            "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objid = {LOCK} AND NOT granted
             AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        );
        eventually(|| !self.session.query(&waiting).is_empty());
        self.session.query(&waiting).concat().concat()
    }

    /// Ends the session that waits at the barrier, as an administrator would.
    #[track_caller]
    pub fn terminate(&self) {
        let pid = self.until_reached();
        self.session.query(&format!("SELECT pg_terminate_backend({pid})"));
        let left = format!("SELECT FROM pg_stat_activity WHERE pid = {pid}");
        eventually(|| self.session.query(&left).is_empty());
    }

    /// Lets everybody through.
    pub fn open(self) {
        // The server may be down by now, and its locks are gone with it.
        let _ = self.session.attempt("SELECT pg_advisory_unlock_all()");
    }
}
