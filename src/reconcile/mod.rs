//! The workflow: connect, read, plan, apply.

pub mod connector;
pub mod database;
pub mod databases;
pub mod error;
pub mod job;
pub mod plugins_from;
pub mod report;
