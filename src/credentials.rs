//! What a role authenticates with.

use std::fmt::{self, Debug, Formatter};

use crate::redact;

/// What a secret holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Credentials {
    /// The role to log in as, where the secret says.
    pub username: Option<String>,
    /// Its password; IAM needs none.
    pub password: Option<Password>,
    /// The server, where the secret says.
    pub host: Option<String>,
    /// Its port, where the secret says: unjudged, a property may beat it.
    pub port: Option<String>,
    /// The database, where the secret says.
    pub database: Option<String>,
    /// RDS's identifier of the instance, where the secret says.
    pub instance: Option<String>,
    /// RDS's identifier of the cluster, where the secret says.
    pub cluster: Option<String>,
}

/// A password, or a token in its place. Nothing prints it.
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
