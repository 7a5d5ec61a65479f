//! The words of a statement and how each is quoted: the only place where SQL is quoted.

use std::fmt::{self, Display, Formatter};

/// A quoted identifier: `"postgis"`, with `"` doubled.
#[derive(Debug, Clone, Copy)]
pub struct Identifier<'a>(pub &'a str);

impl Display for Identifier<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        write!(out, "\"{}\"", self.0.replace('"', "\"\""))
    }
}

/// A quoted string: `'3.4.3'`, with `'` doubled.
///
/// Right where `standard_conforming_strings` is on, which every session of ours sets.
#[derive(Debug, Clone, Copy)]
pub struct Literal<'a>(pub &'a str);

impl Display for Literal<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        write!(out, "'{}'", self.0.replace('\'', "''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Reads a quoted word back as the server's lexer would; `None` if it ends early.
    fn unquoted(text: &str, quote: char) -> Option<String> {
        let inside = text.strip_prefix(quote)?.strip_suffix(quote)?;
        let mut word = String::new();
        let mut letters = inside.chars();
        while let Some(letter) = letters.next() {
            if letter == quote && letters.next() != Some(quote) {
                return None;
            }
            word.push(letter);
        }
        Some(word)
    }

    proptest! {
        #[test]
        fn a_quoted_word_is_read_back_as_it_was(word in any::<String>()) {
            prop_assert_eq!(unquoted(&Identifier(&word).to_string(), '"'), Some(word.clone()));
            prop_assert_eq!(unquoted(&Literal(&word).to_string(), '\''), Some(word));
        }
    }
}
