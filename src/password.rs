//! A password, or a token in its place.

use std::fmt::{self, Debug, Formatter};
use std::sync::Arc;

use crate::scram::Salted;

/// A password. Nothing prints it.
#[derive(Clone)]
pub struct Password {
    text: String,
    salted: Arc<Salted>,
}

impl Password {
    /// Of a text: a secret's, or a signed token.
    pub fn new(text: String) -> Self {
        Self { text, salted: Arc::default() }
    }

    /// The password itself, for the places that send or hash it.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// What it became with the last server's salt: its copies share it, and take it with them.
    pub fn salted(&self) -> &Salted {
        &self.salted
    }
}

impl PartialEq for Password {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Password {}

impl Debug for Password {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        out.write_str("Password(hidden)")
    }
}
