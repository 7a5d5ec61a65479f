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

/// A quoted string: `'3.4.3'`, with `'` doubled; with a `\` in it `E'...'`, with that doubled too. It
/// means the same whatever `standard_conforming_strings` says, which a database's owner may set.
#[derive(Debug, Clone, Copy)]
pub struct Literal<'a>(pub &'a str);

impl Display for Literal<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let escape = if self.0.contains('\\') { "E" } else { "" };
        write!(out, "{escape}'{}'", self.0.replace('\\', r"\\").replace('\'', "''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Reads a quoted word back as the server's lexer would, with or without
    /// `standard_conforming_strings`; `None` if it ends early.
    fn unquoted(text: &str, quote: char, conforming: bool) -> Option<String> {
        let (text, escapes) = match text.strip_prefix('E') {
            Some(rest) => (rest, true),
            None => (text, quote == '\'' && !conforming),
        };
        let inside = text.strip_prefix(quote)?.strip_suffix(quote)?;
        let mut word = String::new();
        let mut letters = inside.chars();
        while let Some(letter) = letters.next() {
            let letter = match letter {
                '\\' if escapes => letters.next()?,
                letter if letter == quote => letters.next().filter(|next| *next == quote)?,
                letter => letter,
            };
            word.push(letter);
        }
        Some(word)
    }

    proptest! {
        #[test]
        fn a_quoted_word_is_read_back_as_it_was(word in any::<String>()) {
            for conforming in [true, false] {
                let [identifier, literal] = [
                    unquoted(&Identifier(&word).to_string(), '"', conforming),
                    unquoted(&Literal(&word).to_string(), '\'', conforming),
                ];
                prop_assert_eq!(identifier.as_ref(), Some(&word));
                prop_assert_eq!(literal.as_ref(), Some(&word));
            }
        }
    }
}
