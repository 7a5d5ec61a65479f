//! The test environment of the stories: everything around the function is played over the wire.
//!
//! - [`wire`]: the smallest HTTP server there is.
//! - [`lambda`]: the Runtime API, which drives the built binary.
//! - [`secrets`]: Secrets Manager.
//! - [`sink`]: the `ResponseURL`.
//! - [`database`]: the real PostgreSQL, one database per test.
//! - [`barrier`]: a point in the server's work at which it waits for the test.
//! - [`cluster`]: the same, which can be killed and started again.
//! - [`iam_endpoint`]: RDS's door for IAM tokens, before the real PostgreSQL.
//! - [`token`]: what AWS checks of such a token.
//! - [`test_environment`]: all of them together, with events in and answers out.
//! - [`unreachable_address`]: an address that nobody answers for.
//! - [`databases`]: several databases on one server.
//! - [`proxy`]: a network with injected faults between any two of them.
//! - [`resource`]: a resource of a stack's, from its Create to its Delete.
//! - [`malicious_server`]: a server that wants a password which is not its own.
//! - [`sandbox`]: a function that can be killed and frozen.
//! - [`fault_injection`]: a test environment with a network with injected faults before its database.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "each test file uses its own part, and a broken stage is a failed test"
)]

pub mod barrier;
pub mod cluster;
pub mod database;
pub mod databases;
pub mod fault_injection;
pub mod function;
pub mod http_server;
pub mod iam_endpoint;
pub mod malicious_server;
pub mod proxy;
pub mod resource;
pub mod response;
pub mod response_bucket;
pub mod runtime_api;
pub mod secrets;
pub mod test_environment;
pub mod token;
pub mod unreachable_address;
