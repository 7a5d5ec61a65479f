//! How long a server may keep us waiting.

use std::time::Duration;

/// How long a role may not be let in yet: a fresh grant takes seconds, and an Aurora Serverless
/// cluster that resumes says `no pg_hba.conf entry` for a while.
pub const FRESH_GRANT: Duration = Duration::from_secs(60);

/// Longer than any budget.
const DAY: Duration = Duration::from_hours(24);

/// How long to wait for a server that may not be there any more, within the budget.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Its name is not found, or it refuses.
    pub absent: Duration,
    /// It says nothing.
    pub silent: Duration,
    /// All connections of the one database are taken.
    pub full: Duration,
}

impl Patience {
    /// As long as the budget lasts: it may be on its way up.
    pub const LONG: Self = Self { absent: DAY, silent: DAY, full: DAY };
    /// A Delete's: it may be deleted already, and then nothing is left to do.
    pub const SHORT: Self =
        Self { absent: Duration::from_secs(5), silent: Duration::from_secs(30), full: DAY };
}
