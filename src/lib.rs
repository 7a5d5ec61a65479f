//! PostgreSQL extensions declared in `CloudFormation`: the floor plan.
//!
//! One way through; the rooms are the stages of the data:
//!
//! ```text
//! event ─▶ request ─▶ target ─▶ observed ─▶ plan ─▶ report ─▶ response ─▶ delivery
//!    │         │          └─ session ──┴────────┘                ▲
//!    └─────────┴── identity ─────────────────────────────────────┘
//! ```
//!
//! `handler` alone knows all stages; no stage calls it.

#[cfg(panic = "abort")]
compile_error!(
    "a panic must unwind: it is answered. Set `panic = \"unwind\"` in the profile, which cargo \
     lambda otherwise changes."
);

pub mod answer;
pub mod attempt;
pub mod aws;
pub mod budget;
pub mod claim;
pub mod connection;
pub mod databases;
pub mod delivery;
pub mod entries;
pub mod error;
pub mod event;
pub mod failure;
pub mod family;
pub mod forbidden;
pub mod ground;
pub mod handler;
pub mod hidden;
pub mod http;
pub mod identity;
pub mod job;
pub mod json;
pub mod log;
pub mod look;
pub mod nearest;
pub mod observed;
pub mod outcome;
pub mod password;
pub mod patience;
pub mod plan;
pub mod problem;
pub mod properties;
pub mod reference;
pub mod refusal;
pub mod release;
pub mod removal;
pub mod report;
pub mod request;
pub mod responder;
pub mod response;
pub mod rotation;
pub mod secret;
pub mod session;
pub mod sql;
pub mod step;
pub mod target;
pub mod token;
pub mod trust;
pub mod version;
pub mod visit;
pub mod words;

pub use error::Error;
