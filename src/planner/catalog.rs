//! What a database holds and what its server offers: read before anything is decided.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::planner::removal::dependents::Dependents;
use crate::planner::removal::ownership::{Claim, ClaimTable};
use crate::planner::untrusted::Untrusted;

/// The state of one database and of the server it is on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "facts of the server, not states of ours")]
pub struct Catalog {
    /// The database's name.
    pub database: String,
    /// `15.8`, or `15.8 (Debian 15.8-1)`.
    pub server_version: String,
    /// The role of the session.
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
    /// `rds.allowed_delegated_extensions`: what a member of `rds_extension` may create, if the role
    /// is one.
    #[serde(default)]
    pub rds_delegated_extensions: Option<String>,
    /// `extwlist.extensions` and `supautils.privileged_extensions`: what the server runs statements
    /// about as a superuser, whoever sends them.
    #[serde(default)]
    pub privileged_extensions: String,
    /// `cron.database_name`: the one database that takes `pg_cron`; `None` where the role may not see
    /// it.
    pub cron_database: Option<String>,
    /// The extensions installed.
    pub installed: Vec<Installed>,
    /// The extensions offered, with their default versions.
    pub available: BTreeMap<String, Option<String>>,
    /// Whether the schema of the claims is there, which may be anybody's.
    #[serde(default)]
    pub has_claim_schema: bool,
    /// What the server offers of the extensions that something may have to be done for; `None` where
    /// there are none.
    #[serde(default)]
    pub offers: Option<Offers>,
    /// What others have put where extension scripts search: read together with the offers.
    #[serde(default)]
    pub untrusted: Untrusted,
    /// Where the claims are; `None` where the schema is not there.
    #[serde(default)]
    pub claim_table: Option<ClaimTable>,
    /// The claims of all resources.
    #[serde(default)]
    pub claims: Vec<Claim>,
    /// What depends on the extensions that shall be dropped.
    #[serde(default)]
    pub dependents: Dependents,
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
    /// The role that owns it.
    #[serde(default)]
    pub owner: String,
    /// Whether the session's role owns it, which an update, a move or a drop needs.
    pub owned: bool,
    /// The extensions that it requires.
    #[serde(default)]
    pub requires: Vec<String>,
}

/// What the server offers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Offers {
    /// Every version of the extensions asked about, and of whatever any extension requires.
    pub versions: Vec<Offered>,
    /// From the installed version of the extensions asked about to every known one.
    pub paths: Vec<UpdatePath>,
    /// The schemas of the database, and whether the role may create in them.
    pub schemas: BTreeMap<String, bool>,
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

impl Catalog {
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
        let versions = self.offers.iter().flat_map(|offers| &offers.versions);
        versions.filter(move |offered| offered.name == name)
    }

    /// The versions that update paths are known to, or known to be missing to, from the installed
    /// one: `(version, reachable)`.
    pub fn update_targets<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, bool)> {
        let paths = self.offers.iter().flat_map(|offers| &offers.paths);
        let paths = paths.filter(move |path| path.name == name);
        paths.map(|path| (path.target.as_str(), path.reachable))
    }

    /// Whether the role may create in a schema; `None` where there is no such schema.
    pub fn may_create_in(&self, schema: &str) -> Option<bool> {
        self.offers.as_ref()?.schemas.get(schema).copied()
    }

    /// Whether the server lets the role do with an extension more than the catalog says of its
    /// rights: it is a superuser or a cloud's stand-in for one, or the server runs the extension's
    /// statements as a superuser.
    pub fn is_decided_by_server(&self, name: &str) -> bool {
        let delegated = self.rds_delegated_extensions.as_deref().unwrap_or_default();
        self.superuser
            || self.delegated
            || lists(&self.privileged_extensions, name)
            || lists(delegated, name)
            || lists(delegated, "*")
    }

    /// Whether it may let the role change or drop what others own.
    pub fn is_ownership_decided_by_server(&self, name: &str) -> bool {
        self.is_decided_by_server(name) || self.rds_delegated_extensions.is_some()
    }
}

/// The words of a setting that is a list.
pub(super) fn words(setting: &str) -> impl Iterator<Item = &str> {
    setting.split(',').map(|word| word.trim().trim_matches('"'))
}

/// Whether a setting that is a list has this word.
pub(super) fn lists(setting: &str, word: &str) -> bool {
    words(setting).any(|other| other == word)
}
