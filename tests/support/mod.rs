//! The stage of the stories: everything around the function is played over the wire.
//!
//! - [`wire`]: the smallest HTTP server there is.
//! - [`lambda`]: the Runtime API, which drives the built binary.
//! - [`secrets`]: Secrets Manager.
//! - [`sink`]: the `ResponseURL`.
//! - [`database`]: the real PostgreSQL, one database per test.
//! - [`stage`]: all of them together, with events in and answers out.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "each test file uses its own part, and a broken stage is a failed test"
)]

pub mod answer;
pub mod database;
pub mod lambda;
pub mod secrets;
pub mod sink;
pub mod stage;
pub mod wire;
