//! The stage of the stories: everything around the function is played over the wire.
//!
//! - [`wire`]: the smallest HTTP server there is.
//! - [`lambda`]: the Runtime API, which drives the built binary.
//! - [`secrets`]: Secrets Manager.
//! - [`sink`]: the `ResponseURL`.
//! - [`database`]: the real PostgreSQL, one database per test.
//! - [`cluster`]: the same, which can be killed and started again.
//! - [`gate`]: RDS's door for IAM tokens, before the real PostgreSQL.
//! - [`token`]: what AWS checks of such a token.
//! - [`stage`]: all of them together, with events in and answers out.
//! - [`hole`]: an address that nobody answers for.
//! - [`several`]: several databases on one server.
//! - [`proxy`]: a bad network between any two of them.
//! - [`resource`]: a resource of a stack's, from its Create to its Delete.
//! - [`rogue`]: a server that wants a password which is not its own.
//! - [`sandbox`]: a function that can be killed and frozen.
//! - [`trouble`]: a stage with a bad network before its database.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "each test file uses its own part, and a broken stage is a failed test"
)]

pub mod answer;
pub mod cluster;
pub mod database;
pub mod function;
pub mod gate;
pub mod hole;
pub mod http_server;
pub mod proxy;
pub mod resource;
pub mod response_bucket;
pub mod rogue;
pub mod runtime_api;
pub mod secrets;
pub mod several;
pub mod stage;
pub mod token;
pub mod trouble;
