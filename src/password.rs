//! A password, or a token in its place.

use std::fmt::{self, Debug, Formatter};
use std::sync::{Arc, Mutex, PoisonError};

use openssl::error::ErrorStack;

use crate::scram::{self, Hash};

/// A password. Nothing prints it.
#[derive(Clone)]
pub struct Password {
    text: String,
    /// What it became last: its copies share it, and take it with them.
    salted: Arc<Mutex<Option<Salted>>>,
}

/// A salt, a number of rounds, and what they made of a password.
type Salted = (Vec<u8>, usize, Hash);

impl Password {
    /// Of a text: a secret's, or a signed token.
    pub fn new(text: String) -> Self {
        Self { text, salted: Arc::default() }
    }

    /// The password itself, for the one place that sends it.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// What SCRAM makes of it: hashed anew only when the salt or the rounds are others.
    ///
    /// # Errors
    /// The TLS library fails.
    pub fn salted(&self, salt: &[u8], rounds: usize) -> Result<Hash, ErrorStack> {
        let mut kept = self.salted.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((same, as_often, hash)) = &*kept
            && same == salt
            && *as_often == rounds
        {
            return Ok(*hash);
        }
        let hash = scram::salted(&self.text, salt, rounds)?;
        *kept = Some((salt.to_owned(), rounds, hash));
        Ok(hash)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashed_once_for_a_salt() {
        let password = Password::new("pencil".to_owned());
        let first = password.salted(b"salt", 2).expect("a hash");
        let kept = |password: &Password| password.salted.lock().expect("nobody has it").clone();
        assert_eq!(kept(&password.clone()), Some((b"salt".to_vec(), 2, first)), "copies share it");
        // Another hash in its place would be given back: it is not made again.
        *password.salted.lock().expect("nobody has it") = Some((b"salt".to_vec(), 2, [7; 32]));
        assert_eq!(password.salted(b"salt", 2).expect("a hash"), [7; 32]);
        for (salt, rounds) in [(b"tlas", 2), (b"tlas", 3), (b"salt", 2)] {
            let hash = password.salted(salt, rounds).expect("a hash");
            assert_eq!(
                kept(&password),
                Some((salt.to_vec(), rounds, hash)),
                "the last one is kept"
            );
            assert_eq!(hash == first, salt == b"salt");
        }
        assert_eq!(password, Password::new("pencil".to_owned()), "the text alone counts");
        assert_ne!(password, Password::new("Pencil".to_owned()));
        assert_eq!(format!("{password:?}"), "Password(hidden)");
    }
}
