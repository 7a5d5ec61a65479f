//! Who created and who lists what, over random histories: the pure planner on a model of servers.
//!
//! After every step: nothing adopted is dropped, nothing that another resource lists, never
//! `plpgsql`; no row or dependent of the user's is lost without `DropCascade`; the last one to
//! leave drops what one of them created; an Update that comes late loses nothing but what its own
//! properties let go; a claim never outlives its resource, and the table goes
//! with the last one; the same request again changes nothing. [`oracle`](super::oracle) says so.
//!
//! `CLAIMS_HISTORIES` is how many histories are made (400 without it).

use std::cell::Cell;

use crate::claims::event::any_action;
use crate::claims::history::{Count, History};
use crate::claims::model::Model;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestError, TestRunner};

#[test]
fn ownership_follows_the_contract() {
    let total = Cell::new(Count::default());
    let histories = super::number("CLAIMS_HISTORIES").unwrap_or(400);
    let config = Config { failure_persistence: None, ..Config::with_cases(histories) };
    let mut runner = TestRunner::new(config);
    let many = prop::collection::vec(any_action(), 1..40);
    let result = runner.run(&many, |actions| {
        let mut model = Model::new();
        let mut history = History::new(&mut model);
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
    let count = total.get();
    println!("{count:?}");
    // Histories in which nothing happens would prove nothing.
    let Count { succeeded, refused, dropped, inherited, late, absent } = count;
    for events in [succeeded, refused, dropped, inherited, late, absent] {
        assert!(events > u64::from(histories) / 20, "{count:?}");
    }
}
