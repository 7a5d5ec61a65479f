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

pub mod aws;
pub mod cloudformation;
pub mod deadline;
pub mod did_you_mean;
pub mod json;
pub mod lambda;
pub mod log;
pub mod password;
pub mod planner;
pub mod postgres;
pub mod reconcile;
pub mod redact;
pub mod request;
pub mod text;
pub mod tls;

pub use reconcile::error::Error;
