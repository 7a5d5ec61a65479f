//! Random histories and events: a model says what must come of each.

#[path = "../support/mod.rs"]
mod support;

mod claims;
mod inspect;
mod simulator;
mod soak;
