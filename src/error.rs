//! Everything that can go wrong, by who can mend it, and how it is put into words.

use std::fmt::Display;

use crate::problem::listed;
use crate::words::chain;
use crate::{connection, request, secret, session, target, token, trust};

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
    /// The operator can mend it: IAM.
    #[error(transparent)]
    Token(#[from] token::Error),
    /// The reference database, and why it could not be read.
    #[error("the database of `PluginsFrom`: {0}")]
    Reference(#[source] Box<Error>),
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
    #[error("{}", in_databases(.0))]
    Plan(Vec<InDatabase>),
    /// Several databases, and one failed after the plans of all were found to be good.
    #[error(
        "in database `{database}`: {source}; until then these were changed, and stay so: {changed}"
    )]
    Partly {
        /// The database that failed.
        database: String,
        /// Why.
        source: Box<Error>,
        /// Those that were changed.
        changed: String,
    },
    /// `*`, and the server did not say what it has.
    #[error("the list of databases could not be read: {0}")]
    NoList(String),
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

/// What is wrong in one database, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InDatabase {
    /// The database.
    pub database: String,
    /// Every problem there.
    pub problems: Vec<String>,
}

impl InDatabase {
    /// In `database`, these.
    pub fn new<P: Display>(database: &str, problems: &[P]) -> Self {
        let problems = problems.iter().map(ToString::to_string).collect();
        Self { database: database.to_owned(), problems }
    }
}

/// The problems of one database, or those of several, each said once with the databases it is in.
fn in_databases(all: &[InDatabase]) -> String {
    if let [InDatabase { database, problems }] = all {
        return numbered(&format!("nothing was changed in database `{database}`"), problems);
    }
    let mut places: Vec<(&str, Vec<&str>)> = Vec::new();
    for InDatabase { database, problems } in all {
        for problem in problems {
            match places.iter_mut().find(|(other, _)| other == problem) {
                Some((_, databases)) => databases.push(database),
                None => places.push((problem, vec![database])),
            }
        }
    }
    let problems: Vec<String> = places
        .into_iter()
        .map(|(problem, databases)| format!("{problem} (in {})", listed(databases)))
        .collect();
    numbered("nothing was changed in any database", &problems)
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
