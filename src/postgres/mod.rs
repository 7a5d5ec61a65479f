//! The server: targets, connections, sessions, queries. It runs SQL and decides nothing.

pub mod connect_error;
pub mod connection;
pub mod server_message;
pub mod session;
pub mod session_error;
pub mod target;
