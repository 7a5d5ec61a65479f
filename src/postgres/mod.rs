//! The server: connections, sessions, queries.

pub mod connect_error;
pub mod connection;
pub mod look;
pub mod retry_limits;
pub mod session;
pub mod session_error;
pub mod target;
