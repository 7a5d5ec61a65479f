//! How things are put into words: an error with its causes, a list, a text that is refused.

use std::borrow::Cow;
use std::error::Error as StdError;

/// An error and its causes, each said once: `a: b: c`.
pub fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        cause = error.source();
    }
    text
}

/// Whether a text of the template's may be repeated where it is refused: a dynamic reference puts a
/// secret's text into a property, and that is no such word as a rule.
pub fn is_word(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.*-".contains(&byte);
    (1..=63).contains(&text.len()) && text.bytes().all(plain)
}

/// A text of the template's that is refused, as a message may say it.
pub(crate) fn shown(text: &str) -> Cow<'_, str> {
    if text.is_empty() || is_word(text) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(format!("({} bytes, not shown)", text.len()))
}

/// The longest start of a text that fits, ending on a character.
pub(crate) fn longest_start(text: &str, mut fits: impl FnMut(&str) -> bool) -> &str {
    let ends: Vec<usize> = text.char_indices().map(|(index, _)| index).collect();
    let fitting = ends.partition_point(|end| fits(&text[..*end]));
    &text[..fitting.checked_sub(1).map_or(0, |last| ends[last])]
}

/// `` `a`, `b` ``, or `nothing`; long lists end early.
pub(crate) fn listed<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    const MAX_LISTED: usize = 12;
    let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
    let mut quoted: Vec<String> =
        words.iter().take(MAX_LISTED).map(|word| format!("`{word}`")).collect();
    if words.len() > MAX_LISTED {
        quoted.push(format!("and {} more", words.len() - MAX_LISTED));
    }
    if quoted.is_empty() { "nothing".to_owned() } else { quoted.join(", ") }
}
