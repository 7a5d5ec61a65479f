//! A session that is opened again when the server was down.

use std::thread;
use std::time::{Duration, Instant};

use super::World;
use crate::support::database::Session;

/// How often it looks, and comes back.
const PAUSE: Duration = Duration::from_millis(50);

/// After how long it gives up.
const TIMEOUT: Duration = Duration::from_secs(60);

/// All sessions, for the message of a failure.
const SESSIONS: &str = "SELECT concat_ws(' ', pid, datname, application_name, state,
    wait_event_type, wait_event, now() - state_change, query) FROM pg_stat_activity";

/// A session of the superuser's, which is opened again when it was lost.
pub struct Observer {
    database: String,
    session: Option<Session>,
}

impl Observer {
    /// For one database.
    pub fn of(database: &str) -> Self {
        Self { database: database.to_owned(), session: None }
    }

    /// The first values of a query's rows; asks until the server is up to answer.
    pub fn ask(&mut self, world: &World, query: &str) -> Vec<String> {
        let started = Instant::now();
        let mut last = String::new();
        while started.elapsed() < TIMEOUT {
            match self.once(world, query) {
                Ok(values) => return values,
                Err(error) => last = format!("{error:?}"),
            }
            thread::sleep(PAUSE);
        }
        panic!("{}: the server does not come back for `{query}`: {last}", self.database)
    }

    fn once(&mut self, world: &World, query: &str) -> Result<Vec<String>, tokio_postgres::Error> {
        let session =
            self.session.take().map_or_else(|| world.server().try_connect(&self.database), Ok)?;
        let rows = session.attempt(query)?;
        self.session = Some(session);
        Ok(rows.into_iter().map(|mut row| row.swap_remove(0)).collect())
    }

    /// Waits until a query has this one value.
    pub fn until(&mut self, world: &World, query: &str, value: &str) {
        let started = Instant::now();
        while self.ask(world, query) != [value] {
            if started.elapsed() > TIMEOUT {
                let sessions = self.ask(world, SESSIONS);
                panic!("{}: it never came to that: {query}: {sessions:#?}", self.database);
            }
            thread::sleep(PAUSE);
        }
    }
}
