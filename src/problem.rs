//! One thing that is wrong with a request, in words.

use std::fmt::{self, Display, Formatter};

/// How many problems are looked for, and told in one message.
pub const MAX_PROBLEMS: usize = 100;

/// What is wrong, why, and what to do: one sentence.
///
/// It is a sentence and no enum, since nothing depends on which problem it is: all of them go into one
/// message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem(String);

impl Problem {
    /// A problem of that sentence: lower case, no full stop, literals in backticks.
    pub fn new(sentence: impl Into<String>) -> Self {
        Self(sentence.into())
    }
}

impl Display for Problem {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}
