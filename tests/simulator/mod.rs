//! A model of `CloudFormation`, which drives the real functions over random histories.
//!
//! - [`cloudformation`]: what it does with a resource: create, update, roll back, replace, delete.
//! - [`delivery`]: how an event reaches the functions: once, twice, never, until they are killed.
//! - [`history`]: what must be true after each event.
//! - [`oracle`]: what an event must do, worked out from the contract; [`removal`]: what it must drop.
//! - [`template`]: the properties, right and wrong.
//! - [`event`]: what is sent.
//! - [`catalog`]: what the servers offer, and what a database holds.
//! - [`world`], [`bucket`], [`cluster`]: functions, secrets and servers; the `ResponseURL`; the
//!   PostgreSQL behind it all.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a broken stage is a failed test")]

pub mod bucket;
pub mod catalog;
pub mod cloudformation;
pub mod cluster;
pub mod delivery;
pub mod event;
pub mod history;
pub mod oracle;
pub mod removal;
pub mod template;
pub mod world;
