//! One invocation: every phase in turn, one response.

pub mod answer;
pub mod failure_destination;
pub mod handler;
