//! PostgreSQL extensions declared in `CloudFormation`.
//!
//! Folders are the phases of the work; each knows only those to its right:
//!
//! ```text
//! main > lambda > { cloudformation, reconcile } > { postgres, aws } > request > planner > base
//! ```
//!
//! `base` is the modules that know none of these: `credentials`, `deadline`, `did_you_mean`, `json`, `log`,
//! `problem`, `redact`, `text`, `tls`.

#[cfg(panic = "abort")]
compile_error!(
    "a panic must unwind, so that a response is sent. Set `panic = \"unwind\"` in the profile, which cargo \
     lambda otherwise changes."
);

pub mod aws;
pub mod cloudformation;
pub mod credentials;
pub mod deadline;
pub mod did_you_mean;
pub mod json;
pub mod lambda;
pub mod log;
pub mod planner;
pub mod postgres;
pub mod problem;
pub mod reconcile;
pub mod redact;
pub mod request;
pub mod text;
pub mod tls;
