//! What stands or falls with the extensions that shall be dropped.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

use serde::Deserialize;

use crate::planner::removal::ownership::Claim;
use crate::planner::statement::{Identifier, Literal};

/// What stands or falls with the extensions that shall be dropped.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct Dependents {
    /// What depends on them: the first hundred, and every extension.
    pub objects: Vec<Dependent>,
    /// How many there are.
    pub total: usize,
    /// How many depend on each of the extensions.
    pub counts: BTreeMap<String, usize>,
    /// Their configuration tables, whose rows are the user's: `pg_extension.extconfig`.
    pub tables: Vec<ConfigTable>,
}

/// Something that depends on an extension that shall be dropped.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Dependent {
    /// The extensions to be dropped that it depends on.
    pub of: Vec<String>,
    /// Kind and name: `table column app.shops.place`.
    pub what: String,
    /// Its name, if it is an extension.
    pub extension: Option<String>,
}

/// A table of an extension's that holds rows of the user's.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ConfigTable {
    /// The extension.
    pub extension: String,
    /// The table's schema.
    pub schema: String,
    /// The table.
    pub table: String,
    /// Which rows are the user's: `pg_extension.extcondition`, empty or a WHERE clause.
    pub condition: String,
    /// Whether the role may see all of its rows.
    pub readable: bool,
    /// Whether the role may keep others from writing to it.
    #[serde(default)]
    pub lockable: bool,
    /// The transaction that made the table a member of the extension.
    #[serde(default)]
    pub member_since: Option<String>,
    /// Whether there are any such rows: the answer to [`Dependents::rows_query`].
    #[serde(default)]
    pub has_rows: bool,
}

impl Dependents {
    /// Asks for every table that the role can read whether it has rows of the user's: an array of
    /// booleans. `None` where there is no such table.
    ///
    /// The conditions are the extensions' own SQL, as `pg_dump` takes it. Rows are the extension's own
    /// where its script inserted them as a resource created it: one transaction wrote the claim, the
    /// rows, and that the table is a member. Without that claim they count as the user's, as after a
    /// restore, which may be one transaction too.
    pub fn rows_query(&self, claims: &[Claim]) -> Option<String> {
        let tables = self.tables.iter().filter(|table| table.readable);
        let exist: Vec<_> = tables
            .map(|config| {
                let ConfigTable { extension, schema, table, condition, member_since, .. } = config;
                let (schema, table) = (Identifier(schema), Identifier(table));
                let by_claimant = |created: &&String| {
                    claims.iter().any(|claim| {
                        claim.extension == *extension
                            && claim.written == **created
                            && !claim.void
                            && !claim.restored
                    })
                };
                let own = member_since
                    .iter()
                    .find(by_claimant)
                    .map_or_else(String::new, |own| format!("WHERE written <> {}", Literal(own)));
                format!(
                    "EXISTS (SELECT FROM (SELECT {table}.xmin::text AS written \
                     FROM ONLY {schema}.{table}\n{condition}\n) AS rows {own})"
                )
            })
            .collect();
        (!exist.is_empty()).then(|| format!("SELECT jsonb_build_array({})::text", exist.join(", ")))
    }

    /// Keeps others from writing to those tables until the end: what they have not committed yet is
    /// not seen, and would be lost. `None` where there is no such table.
    pub fn rows_lock(&self) -> Option<String> {
        let tables = self.tables.iter().filter(|table| table.readable && table.lockable);
        let names: Vec<_> = tables
            .map(|ConfigTable { schema, table, .. }| {
                format!("ONLY {}.{}", Identifier(schema), Identifier(table))
            })
            .collect();
        (!names.is_empty()).then(|| format!("LOCK TABLE {} IN SHARE MODE", names.join(", ")))
    }

    /// Takes the answer to [`Self::rows_query`].
    pub fn set_rows(&mut self, has_rows: &[bool]) {
        let tables = self.tables.iter_mut().filter(|table| table.readable);
        for (table, has_rows) in tables.zip(has_rows) {
            table.has_rows = *has_rows;
        }
    }
}

impl Display for ConfigTable {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{}", self.schema, self.table)
    }
}
