//! Who looks into a database, and comes back when the server was down.

use std::thread;
use std::time::Duration;

use crate::World;
use crate::support::cluster::Admin;

/// How often it looks, and comes back.
const PAUSE: Duration = Duration::from_millis(50);

/// A session of the superuser's, which is opened again when it was lost.
pub struct Inspector {
    database: String,
    session: Option<Admin>,
}

impl Inspector {
    /// For one database.
    pub fn of(database: &str) -> Self {
        Self { database: database.to_owned(), session: None }
    }

    /// The first values of a query's rows; asks until the server is up to answer.
    pub fn ask(&mut self, world: &World, query: &str) -> Vec<String> {
        for _ in 0..1200 {
            let session =
                self.session.take().map_or_else(|| world.place().connect_once(&self.database), Ok);
            if let Ok(session) = session
                && let Ok(values) = session.query(query)
            {
                self.session = Some(session);
                return values;
            }
            thread::sleep(PAUSE);
        }
        panic!("the server does not come back")
    }

    /// Waits until a query has this one value.
    pub fn until(&mut self, world: &World, query: &str, value: &str) {
        for _ in 0..1200 {
            if self.ask(world, query) == [value] {
                return;
            }
            thread::sleep(PAUSE);
        }
        panic!("it never came to that: {query}")
    }
}
