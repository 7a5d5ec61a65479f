//! What is dropped, and who owns what: pure.

pub mod decide;
pub mod ownership;
pub mod refusal;
