//! Random states of real databases. Before each Create and Update an Inspect and a dry run say what it
//! will do; the server's log shows what it did.
//!
//! `INSPECT_HISTORIES` is how many histories are made (8 without it).
//!
//! - [`event`]: what can happen: requests of several resources, and changes by hand.
//! - [`world`]: the function and a real server, and what must be true of each request.
//! - [`server_log`]: the statements that a server logged.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a broken test environment is a failed test"
)]

mod event;
mod server_log;
mod world;

use std::cell::RefCell;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestError, TestRunner};

use self::event::any_action;
use self::world::World;

#[test]
fn what_an_inspect_and_a_dry_run_say_is_what_the_request_does() {
    let histories = super::claims::number("INSPECT_HISTORIES").unwrap_or(8);
    let config = Config {
        failure_persistence: None,
        max_shrink_iters: 100,
        ..Config::with_cases(histories)
    };
    let world = RefCell::new(World::new());
    let many = prop::collection::vec(any_action(), 8..20);
    let result = TestRunner::new(config).run(&many, |actions| {
        let mut world = world.borrow_mut();
        world.clear();
        for action in &actions {
            world.play(action);
        }
        Ok(())
    });
    if let Err(TestError::Fail(why, actions)) = result {
        panic!("{why}\nafter {actions:#?}");
    }
    result.expect("histories that can be made");
    let count = world.into_inner().count;
    println!("{histories} histories: {count:?}");
    // Requests that do nothing, and states in which all is refused, prove nothing.
    let few = u64::from(histories) / 100;
    for action in ["create", "update", "move", "drop", "schema", "claims"] {
        let ran = count.actions.get(action).copied().unwrap_or_default();
        assert!(ran >= few, "few statements `{action}`: {count:?}");
    }
    assert!(count.succeeded > few && count.refused >= few, "{count:?}");
}
