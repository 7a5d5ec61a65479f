//! What must change: pure. No IO, no clock, no client, nothing asynchronous.

pub mod catalog;
pub mod desired;
pub mod entries;
pub mod inspect;
pub mod plan;
mod privileges;
mod refusal;
pub mod removal;
pub mod scripts;
pub mod statement;
pub mod step;
mod steps;
pub mod untrusted;
pub mod verify;
mod version;
pub mod version_order;
