//! What must change: pure. No IO, no clock, no client, nothing asynchronous.

pub mod catalog;
pub mod family;
pub mod plan;
pub mod privileges;
pub mod problem;
pub mod quote;
pub mod removal;
pub mod step;
pub mod untrusted;
pub mod verify;
pub mod version;
pub mod version_order;
