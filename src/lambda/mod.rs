//! One invocation: every phase in turn, one response.

pub mod create_or_update;
pub mod delete;
pub mod failure_destination;
pub mod handler;
pub mod inspect;
pub mod invocation;
