//! Random histories of several resources that share databases, and what must come of them.
//!
//! - [`event`]: what can happen: requests, and changes by hand.
//! - [`oracle`]: what each of them must do, worked out from the contract alone.
//! - [`history`]: plays events in a world and compares it with the oracle after each.
//!
//! There are two worlds: a [`model`] that the pure planner works on ([`planner_histories`]), and the
//! [`real`] function with real servers ([`function_histories`]).
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::struct_excessive_bools,
    reason = "each world uses its own part, and a broken one is a failed test"
)]

pub mod event;
mod function_histories;
pub mod history;
pub mod model;
pub mod oracle;
mod planner_histories;
pub mod real;

/// A number from the environment, if it is set.
pub fn number(variable: &str) -> Option<u32> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} must be a number")))
}
