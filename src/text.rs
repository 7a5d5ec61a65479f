//! How things are said: an error with its causes and with all that the server gave, and a list.

use std::borrow::Cow;
use std::error::Error as StdError;

use tokio_postgres::error::DbError;

/// An error and its causes, each said once: `a: b: c`.
pub fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = said(error);
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = said(error);
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        cause = error.source();
    }
    text
}

fn said(error: &(dyn StdError + 'static)) -> String {
    error.downcast_ref::<DbError>().map_or_else(|| error.to_string(), server_said)
}

/// How many bytes of a context are told: what is called by a script of an extension's may go deep,
/// and the first line says where it was.
const LONGEST_CONTEXT: usize = 400;

/// What the server said: SQLSTATE, message, detail, hint and context.
pub fn server_said(error: &DbError) -> String {
    let part = |name, part: Option<&str>| {
        part.map_or_else(String::new, |part| format!("; {name}: {part}"))
    };
    let (detail, hint) = (part("detail", error.detail()), part("hint", error.hint()));
    let context = error.where_().map(|lines| lines.replace('\n', "; "));
    let start = |text: &str| text[..text.floor_char_boundary(LONGEST_CONTEXT)].to_owned();
    let context = part("context", context.as_deref().map(start).as_deref());
    format!("SQLSTATE {}: {}{detail}{hint}{context}", error.code().code(), error.message())
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
    const MOST: usize = 12;
    let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
    let mut quoted: Vec<String> = words.iter().take(MOST).map(|word| format!("`{word}`")).collect();
    if words.len() > MOST {
        quoted.push(format!("and {} more", words.len() - MOST));
    }
    if quoted.is_empty() { "nothing".to_owned() } else { quoted.join(", ") }
}
