//! Everything that can go wrong, by who can mend it, and how it is put into words.

use std::error::Error as StdError;
use std::fmt::Display;

use tokio_postgres::error::DbError;

use crate::{connection, problem, request, secret, session, target, trust};

/// Why a request failed. Displays as the message that `CloudFormation` shows.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The event is none of `CloudFormation`'s.
    #[error("`RequestType` must be `Create`, `Update` or `Delete`, not `{0}`")]
    RequestType(String),
    /// The template's author can mend it.
    #[error("{}", numbered("the properties are not right", .0))]
    Properties(Vec<request::Problem>),
    /// The operator can mend it: the secret.
    #[error(transparent)]
    Secret(#[from] secret::Error),
    /// The operator or the author: who is the server?
    #[error("{}", numbered("the server is not known", .0))]
    Target(Vec<target::Problem>),
    /// The operator can mend it: certificates.
    #[error("{}", chain(.0))]
    Trust(#[from] trust::Error),
    /// The network, or the server does not let us in.
    #[error(transparent)]
    Connection(#[from] connection::Error),
    /// What the server said, or that it said nothing.
    #[error(transparent)]
    Session(#[from] session::Error),
    /// The template's author or the database's owner: the map does not fit the server.
    #[error("{}", numbered(&format!("nothing was changed in database `{database}`"), problems))]
    Plan {
        /// The database.
        database: String,
        /// Every problem of the whole map.
        problems: Vec<problem::Problem>,
    },
    /// Nobody knows, and saying otherwise would be a lie.
    #[error(
        "the connection was lost while changes were being committed, and whether they were is not \
         known (all of them are there, or none): deploy again to settle it; since then: {0}"
    )]
    Unsettled(#[source] Box<Error>),
    /// We can: a bug.
    #[error("internal error (a bug): {0}; please report it, with the log")]
    Internal(String),
}

/// `heading: only problem`, or `heading; 2 problems: (1) ... (2) ...`.
fn numbered<P: Display>(heading: &str, problems: &[P]) -> String {
    if let [problem] = problems {
        return format!("{heading}: {problem}");
    }
    let list =
        problems.iter().enumerate().map(|(index, problem)| format!("({}) {problem}", index + 1));
    format!("{heading}; {} problems: {}", problems.len(), list.collect::<Vec<_>>().join("; "))
}

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
