//! The soak: many events with injected faults. Each gets one response, and the database holds what
//! the response says; nothing leaks.
//!
//! `SOAK_EVENTS` says how many events (60), `SOAK_SEED` which ones.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what cannot go on is a failed test")]

mod faults;
mod observer;
mod resource;
mod worker;

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Mutex, RwLock};
use std::thread;

use self::observer::Observer;
use self::worker::{Tally, Worker};
use crate::support::cluster::Cluster;
use crate::support::database::Server;
use crate::support::proxy::Proxy;

/// How many functions work side by side, each for a stack and a database of its own.
const WORKERS: usize = 8;

/// What all workers share: the server, and what leads to it.
struct World {
    cluster: Mutex<Cluster>,
    server: RwLock<&'static Server>,
    /// One for each worker.
    proxies: Vec<Proxy>,
    /// Odd while the server is down.
    restarts: AtomicUsize,
}

impl World {
    fn begin() -> Self {
        let cluster = Cluster::start(&["max_connections=100"]);
        let server = cluster.server;
        let proxies = (0..WORKERS).map(|_| Proxy::to(server.port)).collect();
        Self {
            cluster: Mutex::new(cluster),
            server: RwLock::new(server),
            proxies,
            restarts: AtomicUsize::new(0),
        }
    }

    /// Kills the server and starts it again.
    fn kill_the_server(&self) {
        let mut cluster = self.cluster.lock().unwrap();
        self.restarts.fetch_add(1, SeqCst);
        cluster.kill();
        // Connections are refused now: it is starting up.
        cluster.begin_to_restart();
        *self.server.write().unwrap() = cluster.server;
        for proxy in &self.proxies {
            proxy.set_upstream(cluster.server.port);
        }
        cluster.server.connect("postgres");
        self.restarts.fetch_add(1, SeqCst);
    }

    fn server(&self) -> &'static Server {
        *self.server.read().unwrap()
    }
}

#[test]
fn every_event_gets_one_true_response() {
    let number = |name: &str, usual: u64| {
        std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
    };
    let (events, seed) = (number("SOAK_EVENTS", 60), number("SOAK_SEED", 20_260_131));
    println!("SOAK_EVENTS={events} SOAK_SEED={seed}");
    let world = World::begin();
    let events = usize::try_from(events).expect("a number");
    let tallies: Vec<Tally> = thread::scope(|scope| {
        // All are there before the first one has the server killed.
        let workers: Vec<_> = (0..WORKERS).map(|at| Worker::begin(&world, at, seed)).collect();
        let working: Vec<_> = workers
            .into_iter()
            .enumerate()
            .map(|(index, worker)| scope.spawn(move || worker.work((events + index) / WORKERS)))
            .collect();
        working.into_iter().map(|worker| worker.join().expect("no violation")).collect()
    });
    let mut observer = Observer::of("postgres");
    let leaked = "SELECT count(*) FROM pg_stat_activity
        WHERE application_name = 'cfn-postgres-extensions'";
    observer.until(&world, leaked, "0");
    let tally = tallies.into_iter().fold(Tally::default(), Tally::and);
    println!("{tally:#?}\n{} kills of the server", world.restarts.load(SeqCst) / 2);
    assert_eq!(tally.answered, events, "every event was answered");
    assert!(tally.memory[1] > 0, "somebody looked at the memory");
}
