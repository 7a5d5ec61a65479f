//! Everything that can go wrong, by who can correct it, and how it is put into words.

use std::collections::HashMap;
use std::fmt::Display;
use std::hash::Hash;

use crate::aws::{rds_token, secrets_manager};
use crate::postgres::connect_error::{self, Kind};
use crate::postgres::{session_error, target};
use crate::problem::{MAX_PROBLEMS, Problem};
use crate::text::{chain, listed};
use crate::tls;

/// Why a request failed. Displays as the message that `CloudFormation` shows.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The template's author: the event, or its properties.
    #[error("{}", numbered("the properties are not right", .0))]
    Properties(Vec<Problem>),
    /// The template's author: what was sent is none of `CloudFormation`'s events.
    #[error("{0}")]
    Event(String),
    /// The operator: the secret.
    #[error(transparent)]
    Secret(#[from] secrets_manager::Error),
    /// The operator or the author: which server?
    #[error("{}", numbered("cannot connect", &.0.problems))]
    Target(target::Error),
    /// The operator: IAM.
    #[error(transparent)]
    Token(#[from] rds_token::Error),
    /// The operator: certificates.
    #[error(
        "{}; check the parameters `SslRootCertLayerArn` and `SslRootCertPath` of the function's stack",
        chain(.0)
    )]
    Tls(#[from] tls::Error),
    /// The operator: `AWS_CA_BUNDLE`.
    #[error("{0}: correct the function's environment variable `AWS_CA_BUNDLE`, or remove it")]
    Bundle(String),
    /// The database of `PluginsFrom`, and why it could not be read.
    #[error("the database of `PluginsFrom`: {0}")]
    PluginsFrom(#[source] Box<Error>),
    /// The network, or the server refuses the connection.
    #[error(transparent)]
    Connection(#[from] connect_error::Error),
    /// What the server said, or that it does not respond.
    #[error(transparent)]
    Session(#[from] session_error::Error),
    /// The template's author or the database's owner: the map does not fit the server.
    #[error("{}", in_database(.0))]
    Plan(InDatabase),
    /// The same of one or more of several databases.
    #[error("{}", in_databases(problems, *asked))]
    Plans {
        /// What is wrong, database by database.
        problems: Vec<InDatabase>,
        /// How many databases the request is about.
        asked: usize,
        /// Whether all of that is transient.
        is_transient: bool,
    },
    /// Several databases, and some failed after the plans of all were found to be good.
    #[error("{}", partly(failed, changed, *asked))]
    Partly {
        /// The databases that failed, and why.
        failed: Vec<(String, Error)>,
        /// Those that were changed.
        changed: Vec<String>,
        /// How many databases the request is about.
        asked: usize,
    },
    /// It failed at a proxy, which may be why.
    #[error(
        "{0}; this is an RDS Proxy, which cannot cancel statements, limits what a session may do \
         and keeps a connection of its pool for it: point `Host` at the writer endpoint of the \
         instance or the cluster"
    )]
    ThroughProxy(#[source] Box<Error>),
    /// The changes were committed, or not: it is not known.
    #[error(
        "the connection was lost while changes were being committed, and whether they were is not \
         known (all of them are there, or none): deploy again to find out; since then: {0}"
    )]
    OutcomeUnknown(#[source] Box<Error>),
    /// A wait that has no limit of its own, or no processor.
    #[error(
        "time ran out, and the work did not end by itself; what was being changed is rolled back \
         when its connection closes, unless it was committed already: deploy again, with more \
         memory if that is low"
    )]
    Overdue,
    /// A bug.
    #[error("internal error (a bug): {0}; please report it, with the log")]
    Internal(String),
}

impl From<target::Error> for Error {
    fn from(error: target::Error) -> Self {
        Self::Target(error)
    }
}

impl Error {
    /// Adds what an RDS Proxy does, where `host` is one, or speaks as one, and may be the cause.
    #[must_use]
    pub fn through_proxy(self, host: &str) -> Self {
        let is_of_proxy =
            matches!(self, Self::Connection(_) | Self::Session(_) | Self::OutcomeUnknown(_));
        let is_proxy = host.contains(".proxy-") || self.to_string().contains("RDS Proxy");
        if is_of_proxy && is_proxy { Self::ThroughProxy(Box::new(self)) } else { self }
    }

    fn connect_kind(&self) -> Option<connect_error::Kind> {
        match self {
            Self::Connection(error) => Some(error.kind),
            _ => None,
        }
    }

    /// Whether this one database is not there, or the role may not connect to it.
    pub fn is_database_unavailable(&self) -> bool {
        self.connect_kind() == Some(Kind::DatabaseUnavailable)
    }

    /// Whether all connections of this one database are taken.
    pub fn is_connection_limit(&self) -> bool {
        self.connect_kind() == Some(Kind::ConnectionLimit)
    }

    /// Whether there is nothing left to connect to: no secret that can be read, or no server that
    /// can be reached.
    pub fn is_unreachable(&self) -> bool {
        match self {
            Self::Secret(_) => true,
            Self::Target(error) => !error.is_forbidden,
            _ => matches!(
                self.connect_kind(),
                Some(Kind::Unreachable | Kind::NoResponse | Kind::DatabaseUnavailable)
            ),
        }
    }

    /// Whether the same request may succeed later, without anybody's doing.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Secret(error) => matches!(error, secrets_manager::Error::Unavailable { .. }),
            Self::Connection(error) => {
                !matches!(error.kind, Kind::DatabaseUnavailable | Kind::Password | Kind::Refused)
            }
            Self::Session(error) => error.kind != session_error::Kind::Statement,
            Self::PluginsFrom(error) | Self::ThroughProxy(error) => error.is_transient(),
            Self::Plans { is_transient, .. } => *is_transient,
            Self::Partly { failed, .. } => failed.iter().all(|(_, error)| error.is_transient()),
            Self::OutcomeUnknown(_) | Self::Overdue => true,
            _ => false,
        }
    }

    /// Whether an error of one database would be every database's: what failed for the server, or
    /// with these credentials, need not be tried again and again.
    pub fn is_of_server(&self) -> bool {
        match self {
            Self::Secret(_) | Self::Token(_) | Self::Tls(_) => true,
            _ => self.connect_kind().is_some_and(|kind| {
                !matches!(kind, Kind::DatabaseUnavailable | Kind::ConnectionLimit | Kind::Refused)
            }),
        }
    }
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
    pub fn new(database: &str, problems: &[Problem]) -> Self {
        let problems = problems.iter().map(ToString::to_string).collect();
        Self { database: database.to_owned(), problems }
    }
}

/// The problems of the one database there is.
fn in_database(InDatabase { database, problems }: &InDatabase) -> String {
    numbered(&format!("nothing was changed in database `{database}`"), problems)
}

/// The problems of several databases, each said once, after the databases that it is in: a long one
/// may be cut at its end.
fn in_databases(all: &[InDatabase], asked: usize) -> String {
    let problems = all.iter().flat_map(|InDatabase { database, problems }| {
        problems.iter().map(move |problem| (problem.as_str(), database.as_str()))
    });
    let problems = grouped(problems);
    let count = problems.len();
    let places = grouped(problems.into_iter().map(|(problem, databases)| (databases, problem)));
    let sentences = places.into_iter().flat_map(|(databases, problems)| {
        let place = listed(databases);
        kinds(&problems).into_iter().map(move |sentence| format!("in {place}: {sentence}"))
    });
    let heading = format!("nothing was changed in any of the {asked} databases");
    list(&heading, count, &sentences.take(MAX_PROBLEMS).collect::<Vec<_>>())
}

/// What failed, and what became of the other databases.
fn partly(failed: &[(String, Error)], changed: &[String], asked: usize) -> String {
    let failures = failed.iter().map(|(database, error)| {
        let words = error.to_string();
        let place = format!("database `{database}`");
        if words.contains(&place) { words } else { format!("in {place}: {words}") }
    });
    let failures = failures.collect::<Vec<_>>().join("; ");
    // All of them: what does not fit is cut, and the log has it.
    let mut names: Vec<String> = changed.iter().map(|name| format!("`{name}`")).collect();
    names.sort_unstable();
    let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    format!(
        "{} of {asked} databases failed: {failures}; until then these were changed, and stay so: \
         {names}; the others are as they were",
        failed.len()
    )
}

/// `heading: only problem`, or `heading; 2 problems: (1) ... (2) ...`.
fn numbered<P: Display>(heading: &str, problems: &[P]) -> String {
    let told: Vec<String> = problems.iter().take(MAX_PROBLEMS).map(ToString::to_string).collect();
    let told: Vec<&str> = told.iter().map(String::as_str).collect();
    list(heading, problems.len(), &kinds(&told))
}

fn list(heading: &str, count: usize, sentences: &[String]) -> String {
    if let [sentence] = sentences
        && count < MAX_PROBLEMS
    {
        return format!("{heading}: {sentence}");
    }
    // No more were looked for.
    let first = if count >= MAX_PROBLEMS { "the first " } else { "" };
    let count = count.min(MAX_PROBLEMS);
    let sentences = sentences.iter().enumerate().map(|(index, it)| format!("({}) {it}", index + 1));
    let sentences = sentences.collect::<Vec<_>>().join("; ");
    format!("{heading}; {first}{count} problems: {sentences}")
}

/// One sentence for all problems that differ in the name that they begin with, and in nothing else.
fn kinds(problems: &[&str]) -> Vec<String> {
    let name = |problem: &&str| format!("`{}`", problem.split('`').nth(1).unwrap_or_default());
    let kinds =
        grouped(problems.iter().map(|problem| (problem.replace(&name(problem), ""), problem)));
    let sentence = |(_, alike): (String, Vec<&&str>)| match alike.as_slice() {
        [first, others @ ..] if !others.is_empty() => {
            let names: Vec<String> = others.iter().map(|problem| name(problem)).collect();
            format!("{first}; the same for {}", names.join(", "))
        }
        alike => alike.iter().map(ToString::to_string).collect(),
    };
    kinds.into_iter().map(sentence).collect()
}

/// Values by their keys, in the order in which the keys came.
fn grouped<K: Clone + Eq + Hash, V>(pairs: impl IntoIterator<Item = (K, V)>) -> Vec<(K, Vec<V>)> {
    let mut groups: Vec<(K, Vec<V>)> = Vec::new();
    let mut places: HashMap<K, usize> = HashMap::new();
    for (key, value) in pairs {
        let place = *places.entry(key).or_insert_with_key(|key| {
            groups.push((key.clone(), Vec::new()));
            groups.len() - 1
        });
        groups[place].1.push(value);
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_sentence_for_each_kind() {
        let problems = [
            "`a`: no such extension",
            "`b`: no such extension; did you mean `a`?",
            "`c`: no such extension",
            "`x` requires `y`: leave `x` out",
            "no name",
            "`z` requires `y`: leave `z` out",
            "`d`: no such extension",
        ];
        insta::assert_snapshot!(numbered("all is wrong", &problems), @"all is wrong; 7 problems: (1) `a`: no such extension; the same for `c`, `d`; (2) `b`: no such extension; did you mean `a`?; (3) `x` requires `y`: leave `x` out; the same for `z`; (4) no name");
        let database = |name: &str, problems: &[&str]| InDatabase {
            database: name.to_owned(),
            problems: problems.iter().map(ToString::to_string).collect(),
        };
        let all = [
            database("one", &problems[..4]),
            database("two", &problems[..3]),
            database("three", &["`a`: no such extension"]),
        ];
        insta::assert_snapshot!(in_databases(&all, 3), @"nothing was changed in any of the 3 databases; 4 problems: (1) in `one`, `two`, `three`: `a`: no such extension; (2) in `one`, `two`: `b`: no such extension; did you mean `a`?; (3) in `one`, `two`: `c`: no such extension; (4) in `one`: `x` requires `y`: leave `x` out");
        let many: Vec<String> = (0..200).map(|it| format!("`e{it}` is {}", it % 2)).collect();
        let text = numbered("much is wrong", &many);
        assert!(text.starts_with("much is wrong; the first 100 problems: (1) `e0` is 0; the same"));
        assert!(text.ends_with("`e97`, `e99`"), "{text}");
    }
}
