//! The histories of [`planner_histories`](super::planner_histories) with the real function and two
//! real servers, one under two names, and three databases. Every event is delivered twice.
//!
//! `CLAIMS_HISTORIES` is how many histories are made (4 without it).

use std::cell::Cell;

use crate::claims::event::any_action;
use crate::claims::history::{Count, History};
use crate::claims::real::Real;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestError, TestRunner};

#[test]
fn ownership_follows_the_contract_on_real_servers() {
    let total = Cell::new(Count::default());
    let histories = super::number("CLAIMS_HISTORIES").unwrap_or(4);
    let config = Config {
        failure_persistence: None,
        max_shrink_iters: 200,
        ..Config::with_cases(histories)
    };
    let world = std::cell::RefCell::new(Real::new());
    let many = prop::collection::vec(any_action(), 1..40);
    let result = TestRunner::new(config).run(&many, |actions| {
        let mut world = world.borrow_mut();
        world.clear();
        let mut history = History::new(&mut *world);
        for action in &actions {
            history.play(action);
        }
        total.set(total.get().and(history.count));
        Ok(())
    });
    if let Err(TestError::Fail(why, actions)) = result {
        panic!("{why}\nafter {actions:#?}");
    }
    result.expect("histories that can be made");
    println!("{histories} histories: {:?}", total.get());
    assert!(total.get().dropped > 0, "histories in which nothing happens prove nothing");
}
