//! The workflow: connect, read, plan, apply, report.

pub mod connector;
pub mod database;
pub mod databases;
pub mod error;
pub mod inspect;
pub mod plugins_from;
pub mod progress;
pub mod report;
pub mod task;
