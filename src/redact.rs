//! Texts that no response and no line of the log may hold: passwords, tokens, the `ResponseURL`.
//!
//! Nothing of ours prints them, but a server may repeat what it was sent. Both exits, `response` and
//! `log`, pass through here.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::text::is_word;

/// The shortest text that is hidden: a shorter one stands inside of ordinary words, which would make
/// messages illegible and the text easy to guess.
const MIN_LENGTH: usize = 6;

/// How long PostgreSQL's names are, in bytes: it cuts longer ones before it repeats them.
const MAX_NAME: usize = 63;

/// The longest text first: it may hold another one. `true` marks a name, which the server may know.
static HIDDEN: Mutex<Vec<(String, bool)>> = Mutex::new(Vec::new());

fn hidden() -> MutexGuard<'static, Vec<(String, bool)>> {
    HIDDEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Forgets the texts of the request before.
pub fn forget() {
    hidden().clear();
}

/// Hides a text for the rest of the request.
pub fn hide(text: &str) {
    add(text, false);
}

fn add(text: &str, is_name: bool) {
    let (mut hidden, entry) = (hidden(), (text.to_owned(), is_name));
    if text.len() >= MIN_LENGTH && !hidden.contains(&entry) {
        hidden.push(entry);
        hidden.sort_by_key(|(text, _)| std::cmp::Reverse(text.len()));
    }
}

/// Hides a name until the server knows it: a dynamic reference may have put a secret's text there. A
/// plain word can be told.
pub fn hide_name(name: &str) {
    if !is_word(name) {
        add(name, true);
        add(cut(name), true);
    }
}

fn cut(name: &str) -> &str {
    &name[..name.floor_char_boundary(MAX_NAME)]
}

/// Tells a name again, which the server knows; not where it is a secret too.
pub fn reveal_name(name: &str) {
    hidden().retain(|(text, is_name)| !is_name || (text != name && text != cut(name)));
}

/// The text with `(hidden)` in place of all that is hidden.
pub fn scrubbed(text: &str) -> String {
    hidden().iter().fold(text.to_owned(), |text, (hidden, _)| text.replace(hidden, "(hidden)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_texts_are_replaced_and_short_ones_are_not() {
        for text in ["hunter2\"\\", "hunter2\"\\ and more", "short"] {
            hide(text);
        }
        let said = scrubbed("hunter2\"\\ and more, or hunter2\"\\: in short, hunter");
        assert_eq!(said, "(hidden), or (hidden): in short, hunter");
        let name = "ä{\"username\":".repeat(8);
        hide_name(&name);
        assert_eq!(scrubbed(&format!("no {}, no {name}", &name[..63])), "no (hidden), no (hidden)");
        reveal_name(&name);
        assert_eq!(scrubbed(&name), name);
        hide_name("a role, and its password");
        hide("a role, and its password");
        reveal_name("a role, and its password");
        assert_eq!(scrubbed("a role, and its password"), "(hidden)");
        hide_name("app_database");
        assert_eq!(scrubbed("app_database"), "app_database");
    }
}
