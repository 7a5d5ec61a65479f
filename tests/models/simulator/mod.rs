//! A model of `CloudFormation` drives the real functions over random histories, against a real
//! PostgreSQL: create, update, rollback, replacement, cancel, duplicates, crashes, the
//! responder.
//!
//! `SIMULATOR_HISTORIES` is how many histories are made (200 without it). A violation names the
//! seed of its history: `SIMULATOR_SEED=<seed>` makes that one again.
//!
//! - [`cloudformation`]: what it does with a resource: create, update, roll back, replace, delete.
//! - [`delivery`]: how an event reaches the functions: once, twice, never, until they are killed.
//! - [`history`]: what must be true after each event.
//! - [`oracle`]: what an event must do, worked out from the contract; [`removal`]: what it must drop.
//! - [`template`]: the properties, right and wrong.
//! - [`event`]: what is sent.
//! - [`catalog`]: what the servers offer, and what a database holds.
//! - [`world`], [`cluster`]: functions, secrets and servers; the PostgreSQL behind it all.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a broken test environment is a failed test"
)]

pub mod catalog;
pub mod cloudformation;
pub mod cluster;
pub mod delivery;
pub mod event;
pub mod history;
pub mod oracle;
pub mod removal;
pub mod template;
pub mod world;

use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use self::cluster::CHILD;
use self::history::History;
use self::world::World;

/// How many histories are made at the same time for each processor, each with databases of its own:
/// a function and its server take turns.
const WORKERS: usize = 2;

#[test]
fn every_history_follows_the_contract() {
    if std::env::var_os(CHILD).is_none() {
        // A child's log can go nowhere, and it may have a server of its own.
        println!("{}", cluster::run_beside("simulator::every_history_follows_the_contract"));
        return;
    }
    world::create_role();
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse().expect("a number"));
    let seed = number("SIMULATOR_SEED");
    let histories = if seed.is_some() { 1 } else { number("SIMULATOR_HISTORIES").unwrap_or(200) };
    let first = seed.unwrap_or_else(|| fastrand::u64(..1 << 48));
    let (next, failed) = (AtomicU64::new(0), AtomicBool::new(false));
    let [events, late, gone] = [(); 3].map(|()| AtomicU64::new(0));
    let start = Instant::now();
    thread::scope(|scope| {
        let processors = thread::available_parallelism().map_or(1, NonZero::get);
        for _ in 0..(WORKERS * processors).min(usize::try_from(histories).unwrap_or(usize::MAX)) {
            scope.spawn(|| {
                let world = World::new();
                while !failed.load(Ordering::Relaxed) {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= histories {
                        world.wait_until_all_are_gone();
                        return;
                    }
                    let counts = make(&world, first + number, seed.is_some());
                    failed.fetch_or(counts.is_none(), Ordering::Relaxed);
                    for (sum, count) in
                        [&events, &late, &gone].into_iter().zip(counts.unwrap_or_default())
                    {
                        sum.fetch_add(count, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    assert!(!failed.into_inner(), "a history violates the contract");
    let [events, late, gone] = [events, late, gone].map(AtomicU64::into_inner);
    eprintln!(
        "{histories} histories from seed {first} on, {events} events and {late} that came late, {:.0} s: \
         {gone} columns of the user's went as the contract has it, and the contract held",
        start.elapsed().as_secs_f32()
    );
    // Histories in which nothing happens would prove nothing.
    assert!(histories < 200 || (late > histories / 20 && gone > histories / 100), "too little");
}

/// Makes one history; returns how many events it had, how many came late and how many columns went,
/// or nothing if one violates the contract.
fn make(world: &World, seed: u64, tell: bool) -> Option<[u64; 3]> {
    let mut history = History::new(world, seed);
    let result = catch_unwind(AssertUnwindSafe(|| history.play()));
    if tell || result.is_err() {
        eprintln!("history with SIMULATOR_SEED={seed}:\n{}", history.trace.join("\n"));
    }
    result.ok()?;
    world.reset(history.catalogs());
    Some([u64::try_from(history.sent.len()).ok()?, history.late, history.gone])
}
