//! The services of AWS that are called.

pub mod config;
pub mod http;
pub mod rds_token;
pub mod secrets_manager;
