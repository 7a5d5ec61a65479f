//! The histories of `tests/claims_model.rs` with the real function and real servers: two of them,
//! one under two names, and three databases. Every event is delivered twice.
//!
//! `CLAIMS_HISTORIES` is how many histories are made (4 without it).

#![expect(clippy::expect_used, reason = "a broken world is a failed test")]

use std::cell::Cell;

use claims::event::a_happening;
use claims::history::{Count, History};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestError, TestRunner};
use real::Real;

mod claims;
#[path = "claims/real.rs"]
mod real;
mod support;

#[test]
fn a_claim_is_as_good_as_its_word_on_a_real_server() {
    let total = Cell::new(Count::default());
    let histories = claims::number("CLAIMS_HISTORIES").unwrap_or(4);
    let config = Config {
        failure_persistence: None,
        max_shrink_iters: 200,
        ..Config::with_cases(histories)
    };
    let world = std::cell::RefCell::new(Real::new());
    let many = prop::collection::vec(a_happening(), 1..40);
    let result = TestRunner::new(config).run(&many, |happenings| {
        let mut world = world.borrow_mut();
        world.clear();
        let mut history = History::new(&mut *world);
        for happening in &happenings {
            history.play(happening);
        }
        total.set(total.get().and(history.count));
        Ok(())
    });
    if let Err(TestError::Fail(why, happenings)) = result {
        panic!("{why}\nafter {happenings:#?}");
    }
    result.expect("histories that can be made");
    println!("{histories} histories: {:?}", total.get());
    assert!(total.get().dropped > 0, "histories in which nothing happens prove nothing");
}
