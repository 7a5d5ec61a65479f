//! What the server said, in words.

use tokio_postgres::Error;
use tokio_postgres::error::DbError;

use crate::text::chain;

/// How many bytes of a context are told: what a script of an extension's calls may go deep, and the
/// first line says where it was.
const MAX_CONTEXT: usize = 400;

/// SQLSTATE, message, detail, hint and context.
pub fn of_server(error: &DbError) -> String {
    let part = |name, part: Option<&str>| {
        part.map_or_else(String::new, |part| format!("; {name}: {part}"))
    };
    let (detail, hint) = (part("detail", error.detail()), part("hint", error.hint()));
    let context = error.where_().map(|lines| lines.replace('\n', "; "));
    let start = |text: &str| text[..text.floor_char_boundary(MAX_CONTEXT)].to_owned();
    let context = part("context", context.as_deref().map(start).as_deref());
    format!("SQLSTATE {}: {}{detail}{hint}{context}", error.code().code(), error.message())
}

/// What the server said, or what happened on the way to it.
pub fn described(error: &Error) -> String {
    error.as_db_error().map_or_else(|| chain(error), of_server)
}
