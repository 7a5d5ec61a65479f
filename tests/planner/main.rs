//! The planner and what reads text: no server, seconds.

mod convergence;
mod docs;
mod fuzzing;
mod plans;
mod plans_removal;
