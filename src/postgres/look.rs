//! The question that a look puts to the server: a glance first, and the whole where that is not
//! enough. One query, one flight.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Value, json};
use tokio_postgres::error::SqlState;

use crate::planner::catalog::{Installed, Observed, Offered};
use crate::planner::quote::Literal;
use crate::request::{RemovalPolicy, Wanted, WantedVersion};

/// The query.
const GLANCE: &str = include_str!("sql/glance.sql");

/// Whether the server has no `query_to_xml()` for us, which a glance goes on with: one that was built
/// without libxml, or whose owner lets nobody use it. Then [`Look::whole`] is left.
pub fn is_out_of_reach(error: &tokio_postgres::Error) -> bool {
    let codes = [SqlState::FEATURE_NOT_SUPPORTED, SqlState::INSUFFICIENT_PRIVILEGE];
    error.code().is_some_and(|code| codes.contains(code))
}

/// What the server leaves out where all is as wanted. It is most of the work: planning and running it
/// takes a fresh session 10 ms, and the glance 1.
const DETAILS: &str = include_str!("sql/details.sql");

/// What it leaves out of that where no schema can have claims in it.
const HOME: &str = include_str!("sql/claim_table.sql");

/// What a look has to know of the request: how much there may be to do.
#[derive(Debug)]
pub struct Look {
    wanted: String,
}

impl Look {
    /// For what is wanted of a database, when the offers of these are known from another one of the
    /// same server.
    pub fn new(wanted: &Wanted, known: &[Offered]) -> Self {
        let mut plain = Some(BTreeMap::new());
        let mut any = Vec::new();
        let mut extensions = Vec::new();
        for (name, extension) in &wanted.extensions {
            let (kind, version) = match &extension.version {
                WantedVersion::Any => ("any", None),
                WantedVersion::Latest => ("latest", None),
                WantedVersion::Exact(version) => ("exact", Some(version.replace('\0', ""))),
                WantedVersion::StartsWith(start) => ("starts with", Some(start.replace('\0', ""))),
            };
            match (&version, kind, &extension.schema) {
                (Some(version), "exact", None) => {
                    if let Some(plain) = &mut plain {
                        plain.insert(name, version.clone());
                    }
                }
                (_, "any", None) => any.push(name.clone()),
                _ => plain = None,
            }
            extensions.push(json!({ "name": name, "kind": kind, "version": version }));
        }
        if wanted.removal != RemovalPolicy::Retain && !extensions.is_empty() {
            // There will be claims to write.
            plain = None;
        }
        let asked = wanted.extensions.values().filter_map(|extension| extension.schema.as_deref());
        let prescribed = known.iter().filter_map(|offered| offered.schema.as_deref());
        let schemas: BTreeSet<&str> = asked.chain(prescribed).collect();
        let known: BTreeSet<String> =
            known.iter().map(|offered| offered.name.to_ascii_lowercase()).collect();
        let wanted: Value = json!({
            "plain": plain, "any": any, "extensions": extensions, "schemas": schemas, "known": known,
        });
        Self { wanted: wanted.to_string() }
    }

    /// The statements: they answer with one text, in one row.
    pub fn glance(&self) -> String {
        let glance = GLANCE
            .replace("{details}", &Literal(DETAILS).to_string())
            .replace("{home}", &Literal(HOME).to_string());
        self.given(&glance)
    }

    /// The whole, without a glance first.
    pub fn whole(&self) -> String {
        let details = DETAILS.replace("/* home.sql */", HOME);
        self.given(&format!("SELECT details::text FROM ({details}) AS whole"))
    }

    fn given(&self, sql: &str) -> String {
        format!("SET LOCAL cfn_postgres_extensions.wanted = {};\n{sql}", Literal(&self.wanted))
    }
}

/// Where a glance was enough: what is installed. Nothing is asked about it any more.
#[derive(Deserialize)]
struct Settled {
    database: String,
    server_version: String,
    plain: BTreeMap<String, String>,
}

/// Reads the answer.
///
/// # Errors
/// It is neither of the two that there are: a bug.
pub fn seen(text: &str) -> Result<Observed, serde_json::Error> {
    serde_json::from_str(text).or_else(|error| {
        let Ok(Settled { database, server_version, plain }) = serde_json::from_str(text) else {
            return Err(error);
        };
        let installed = plain
            .into_iter()
            .map(|(name, version)| Installed { name, version, ..Installed::default() })
            .collect();
        Ok(Observed { database, server_version, installed, ..Observed::default() })
    })
}
