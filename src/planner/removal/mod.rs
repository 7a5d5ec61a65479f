//! What is dropped, and who owns what.

pub(super) mod decide;
pub mod dependents;
pub mod ownership;
mod refusal;
