//! The statements that a server logged.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;

use crate::support::cluster::Cluster;

/// The settings of a server that [`statements`] reads the log of.
pub const SETTINGS: [&str; 2] = ["log_statement=all", "log_line_prefix=@%a@%d@"];

/// What begins a statement that changes nothing. An Update also locks tables whose rows it looks at.
const READS: [&str; 7] = ["BEGIN", "SET", "SELECT", "WITH", "LOCK", "ROLLBACK", "COMMIT"];

/// What the function did in one database.
#[derive(Debug, Default)]
pub struct Done {
    /// Its statements that change something, in order.
    pub changes: Vec<String>,
    /// Whether it committed.
    pub committed: bool,
}

/// The log of a server, read from where it was read to before.
pub struct ServerLog(File);

impl ServerLog {
    /// The log of this one, from its beginning.
    pub fn of(cluster: &Cluster) -> Self {
        Self(File::open(cluster.log_path()).expect("the server's log"))
    }

    /// What the function did meanwhile in each database where it did anything.
    pub fn done(&mut self) -> BTreeMap<String, Done> {
        let mut log = Vec::new();
        self.0.read_to_end(&mut log).expect("the server's log");
        let mut done = done(&String::from_utf8_lossy(&log));
        done.retain(|_, done| !done.changes.is_empty());
        done
    }
}

fn done(log: &str) -> BTreeMap<String, Done> {
    let mut all: BTreeMap<String, Done> = BTreeMap::new();
    for entry in entries(log) {
        let mut fields = entry.splitn(3, '@');
        if fields.next() != Some(env!("CARGO_PKG_NAME")) {
            continue;
        }
        let database = fields.next().expect("a database").to_owned();
        let done = all.entry(database).or_default();
        let message = fields.next().and_then(|it| it.trim_start().strip_prefix("LOG:  "));
        let sql = message.and_then(|it| {
            it.strip_prefix("statement: ").or_else(|| it.strip_prefix("execute <unnamed>: "))
        });
        for statement in sql.map(statements).unwrap_or_default() {
            let first = statement.split_whitespace().next().unwrap_or_default();
            done.committed |= first == "COMMIT";
            if !READS.contains(&first) {
                done.changes.push(statement);
            }
        }
    }
    all
}

/// The entries of a log: a line of its own begins each, a tab each other line.
fn entries(log: &str) -> Vec<String> {
    let mut entries: Vec<String> = Vec::new();
    for line in log.lines() {
        if let Some(entry) = line.strip_prefix('@') {
            entries.push(entry.to_owned());
        } else if let Some(entry) = entries.last_mut() {
            entry.push('\n');
            entry.push_str(line.strip_prefix('\t').unwrap_or(line));
        }
    }
    entries
}

/// The statements of a message, without comments: what is quoted may have semicolons.
fn statements(sql: &str) -> Vec<String> {
    let (mut statements, mut statement, mut quote) = (Vec::new(), String::new(), None);
    let mut letters = sql.chars().peekable();
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (None, '-') if letters.peek() == Some(&'-') => {
                letters.find(|letter| *letter == '\n');
                statement.push('\n');
            }
            (None, ';') => statements.push(std::mem::take(&mut statement)),
            _ => {
                statement.push(letter);
                quote = match quote {
                    None => Some(letter).filter(|it| ['\'', '"'].contains(it)),
                    quote => quote.filter(|it| *it != letter),
                };
            }
        }
    }
    statements.push(statement);
    let trimmed = statements.iter().map(|it| it.trim().to_owned());
    trimmed.filter(|it| !it.is_empty()).collect()
}
