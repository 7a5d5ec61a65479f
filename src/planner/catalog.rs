//! What the database holds and what its server offers, read before anything is decided.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display, Formatter};

use serde::Deserialize;

use crate::planner::quote::{Identifier, Literal};
use crate::planner::removal::ownership::{Claim, Home};
use crate::planner::untrusted::Ground;

/// The state of one database and of the server it is on.
///
/// Where a glance was enough, these are known: the database, the server's version, and the names and
/// versions of what is installed. The rest is empty then.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "facts of the server, not states of ours")]
pub struct Observed {
    /// The database's name.
    pub database: String,
    /// `15.8`, or `15.8 (Debian 15.8-1)`.
    pub server_version: String,
    /// The role we are.
    pub role: String,
    /// Whether it is a superuser.
    pub superuser: bool,
    /// Whether it is a member of a cloud's stand-in for one, as `rds_superuser` is.
    pub delegated: bool,
    /// Whether it may create schemas and trusted extensions: CREATE on the database.
    pub may_create: bool,
    /// Whether transactions are read-only here, as on a reader.
    pub read_only: bool,
    /// `shared_preload_libraries`; `None` where the role may not see it.
    pub libraries: Option<String>,
    /// `rds.extensions`: what the engine offers.
    pub rds_extensions: Option<String>,
    /// `rds.allowed_extensions`: what the parameter group lets through.
    pub rds_allowed_extensions: Option<String>,
    /// `rds.allowed_delegated_extensions`: what a member of `rds_extension` may create, if we are
    /// one.
    #[serde(default)]
    pub rds_delegated_extensions: Option<String>,
    /// `extwlist.extensions` and `supautils.privileged_extensions`: what the server runs statements
    /// about as a superuser, whoever sends them.
    #[serde(default)]
    pub privileged_extensions: String,
    /// `cron.database_name`: the one database that takes `pg_cron`; `None` where the role may not see
    /// it.
    pub cron_database: Option<String>,
    /// Of `public`, the schemas asked for and those that extensions prescribe, which exist, and
    /// whether we may create in them.
    pub schemas: BTreeMap<String, bool>,
    /// The extensions installed.
    pub installed: Vec<Installed>,
    /// The extensions offered, with their default versions.
    pub available: BTreeMap<String, Option<String>>,
    /// Every version of those that something may have to be done for, and of whatever anything
    /// requires. `None` where nothing had to be looked up, or it is known from another database.
    pub offered: Option<Vec<Offered>>,
    /// From the installed version of those that may have to be updated to every known one.
    pub paths: Vec<UpdatePath>,
    /// The schema where the claims are; `None` where there is no such schema.
    #[serde(default)]
    pub home: Option<Home>,
    /// The claims of all resources: from a second look, where there are any.
    #[serde(default)]
    pub claims: Vec<Claim>,
    /// What dropping extensions would meet: from a third look, where any shall be.
    #[serde(default)]
    pub obstacles: Obstacles,
    /// What others have put where extension scripts search: where any shall be run.
    #[serde(default)]
    pub ground: Ground,
}

/// An extension in the database: a row of `pg_extension`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Installed {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The schema of its objects.
    pub schema: String,
    /// Whether `SET SCHEMA` can move it.
    pub relocatable: bool,
    /// Whether we own it, which an update, a move or a drop needs.
    pub owned: bool,
    /// The extensions that it requires.
    #[serde(default)]
    pub requires: Vec<String>,
}

/// What stands or falls with the extensions that shall be dropped.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct Obstacles {
    /// What depends on them: the first hundred, and every extension.
    pub dependents: Vec<Dependent>,
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
    /// Whether we may see all of its rows.
    pub readable: bool,
    /// Whether we may keep others from writing to it.
    #[serde(default)]
    pub lockable: bool,
    /// The transaction that made the table a member of the extension.
    #[serde(default)]
    pub member_since: Option<String>,
    /// Whether there are any such rows; known after a fourth look.
    #[serde(default)]
    pub has_rows: bool,
}

impl Obstacles {
    /// Asks for every table that we can see whether it has rows of the user's: an array of
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
    pub fn has_rows(&mut self, has_rows: &[bool]) {
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

/// A version that can be created: a row of `pg_available_extension_versions`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Offered {
    /// The extension.
    pub name: String,
    /// The version.
    pub version: String,
    /// Whether only a superuser may create it, unless it is trusted.
    pub superuser: bool,
    /// Whether CREATE on the database is enough.
    pub trusted: bool,
    /// Whether `SET SCHEMA` can move it.
    pub relocatable: bool,
    /// The schema it prescribes.
    pub schema: Option<String>,
    /// The extensions it requires.
    pub requires: Option<Vec<String>>,
}

/// A row of `pg_extension_update_paths` that starts at the installed version.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct UpdatePath {
    /// The extension.
    pub name: String,
    /// The version at the end.
    pub target: String,
    /// Whether there is a path to it.
    pub reachable: bool,
}

impl Observed {
    /// The server's version as a person says it: `15.8`.
    pub fn short_version(&self) -> &str {
        self.server_version.split_whitespace().next().unwrap_or_default()
    }

    /// The installed extension of that exact name.
    pub fn installed(&self, name: &str) -> Option<&Installed> {
        self.installed.iter().find(|installed| installed.name == name)
    }

    /// Every name that the server knows: offered, or installed with its files gone.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let installed = self.installed.iter().map(|installed| installed.name.as_str());
        let gone = installed.filter(|name| !self.available.contains_key(*name));
        self.available.keys().map(String::as_str).chain(gone)
    }

    /// What a key of the map may mean: the very name, else those alike without regard to case.
    pub fn alike(&self, key: &str) -> Vec<&str> {
        match self.names().find(|name| *name == key) {
            Some(name) => vec![name],
            None => self.names().filter(|name| name.eq_ignore_ascii_case(key)).collect(),
        }
    }

    /// These, and all that they require as they are installed.
    pub fn with_required<'a>(&'a self, mut names: Vec<&'a str>) -> BTreeSet<&'a str> {
        let mut all = BTreeSet::new();
        while let Some(name) = names.pop() {
            if all.insert(name) {
                let installed = self.installed(name).into_iter();
                names.extend(installed.flat_map(|it| it.requires.iter().map(String::as_str)));
            }
        }
        all
    }

    /// The versions offered of one extension.
    pub fn offered<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Offered> {
        self.offered.iter().flatten().filter(move |offered| offered.name == name)
    }

    /// Takes what was `known` where nothing was looked up, and adds what was to `offers`.
    pub fn share_offers(&mut self, known: Vec<Offered>, offers: &mut Vec<Offered>) {
        let Some(offered) = &self.offered else {
            self.offered = (!known.is_empty()).then_some(known);
            return;
        };
        let is_new = |name: &str| offers.iter().all(|offer| offer.name != name);
        let new: Vec<Offered> =
            offered.iter().filter(|offer| is_new(&offer.name)).cloned().collect();
        offers.extend(new);
    }

    /// The versions that the installed one of an extension can be compared with: `(version,
    /// reachable)`.
    pub fn targets<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, bool)> {
        let paths = self.paths.iter().filter(move |path| path.name == name);
        paths.map(|path| (path.target.as_str(), path.reachable))
    }
}
