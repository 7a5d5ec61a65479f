//! What the tests share. Everything around the function is emulated over the wire; PostgreSQL is real.
//!
//! | module | what it is |
//! |---|---|
//! | [`test_environment`] | a function with a database, a secret and a bucket: events in, responses out |
//! | [`function`], [`runtime_api`] | the built binary as a process; Lambda's Runtime API for it |
//! | [`secrets`], [`response_bucket`] | Secrets Manager; S3 behind the `ResponseURL` |
//! | [`http_server`] | the HTTP server of these three |
//! | [`response`], [`resource`] | one response; a resource of a stack, from its Create to its Delete |
//! | [`database`], [`databases`] | one database per test on a shared server; several at once |
//! | [`cluster`] | a PostgreSQL of one test's own, which can be killed and started again |
//! | [`barrier`] | a point in the server's work at which it waits for the test |
//! | [`proxy`], [`fault_injection`] | a TCP proxy with faults; a test environment with one before its database |
//! | [`troubleshooting`] | the index of messages, which has the reason of every failure |
//! | [`unreachable_address`] | an address that does not respond |
//! | [`iam_endpoint`], [`token`] | an RDS endpoint with IAM authentication; what AWS checks of a token |
//! | [`malicious_server`] | a server that asks for a password that is not its own |
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "each test file uses its own part, and a broken test environment is a failed test"
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
pub mod troubleshooting;
pub mod unreachable_address;
