//! How things are said: an error with its causes and with all that the server gave, and a list.

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

/// What the server said: SQLSTATE, message, detail and hint.
pub fn server_said(error: &DbError) -> String {
    let part = |name, part: Option<&str>| {
        part.map_or_else(String::new, |part| format!("; {name}: {part}"))
    };
    let (detail, hint) = (part("detail", error.detail()), part("hint", error.hint()));
    format!("SQLSTATE {}: {}{detail}{hint}", error.code().code(), error.message())
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
