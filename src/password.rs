//! A password, or a token in its place.

use std::fmt::{self, Debug, Formatter};

use crate::redact;

/// A password. Nothing prints it.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// Of a text: a secret's, or a signed token. It is hidden from now on.
    pub fn new(text: String) -> Self {
        redact::hide(&text);
        Self(text)
    }

    /// The password itself, for the one place that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl Debug for Password {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        out.write_str("Password(hidden)")
    }
}
