//! What can happen: requests of several resources, and changes by hand.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::{Value, json};

/// What the server offers: some of PostgreSQL's own extensions, and stand-ins of
/// `tests/extensions.json`.
pub const NAMES: [&str; 17] = [
    "citext",
    "clan",
    "clan_child",
    "clan_cousin",
    "cube",
    "earthdistance",
    "fixed",
    "hstore",
    "housed",
    "keeper",
    "leech",
    "ltree",
    "o'dd\"; DROP TABLE t",
    "pg_trgm",
    "seeded",
    "timescaledb",
    "unaccent",
];

/// The databases; `*` is both.
pub const DATABASES: [&str; 2] = ["app", "audit"];

/// How many resources there are, in a stack each.
pub const RESOURCES: usize = 3;

/// One thing that happens.
#[derive(Debug, Clone)]
pub enum Action {
    /// A resource is created; or updated, where it is there.
    Deploy {
        /// Which.
        who: usize,
        /// Its properties.
        template: Template,
    },
    /// A resource is updated to other properties with most of the map that it has.
    Edit {
        /// Which.
        who: usize,
        /// Its properties, but for the map.
        template: Template,
    },
    /// A resource is deleted.
    Delete {
        /// Which.
        who: usize,
    },
    /// Somebody does something by hand.
    Hand {
        /// In which database.
        database: usize,
        /// What.
        change: ManualChange,
    },
}

/// The properties of a resource.
#[derive(Debug, Clone)]
pub struct Template {
    /// Which databases; all by `*` where there is none.
    pub databases: BTreeSet<usize>,
    /// `RemovalPolicy`.
    pub policy: &'static str,
    /// `DowngradePolicy`.
    pub downgrade: &'static str,
    /// The map, but for the key `*`.
    pub map: BTreeMap<String, Entry>,
    /// The version of the key `*`.
    pub star: Option<&'static str>,
    /// Whether the role is the databases' owner, and not a superuser.
    pub is_limited: bool,
    /// Whether the server is reached under its other name.
    pub is_elsewhere: bool,
}

/// An entry of the map.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Which version.
    pub version: Version,
    /// `Schema`.
    pub schema: Option<&'static str>,
}

/// The version of an entry.
#[derive(Debug, Clone, Copy)]
pub enum Version {
    /// As it is written.
    Word(&'static str),
    /// One that the server offers: which, modulo their number.
    Exact(usize),
    /// All but the last letter of one, and a `*`.
    Like(usize),
}

/// What people do.
#[derive(Debug, Clone)]
pub enum ManualChange {
    /// Create an extension, and what it requires.
    Create {
        /// Which.
        name: &'static str,
        /// In which version, modulo their number.
        version: usize,
        /// Where.
        schema: &'static str,
    },
    /// Drop one, with all that depends on it.
    Drop(&'static str),
    /// Drop one and create it again.
    Recreate(&'static str),
    /// Make a column of a type of its.
    Use(&'static str),
    /// Write a row into its table.
    Write(&'static str),
    /// Make a schema.
    Schema(&'static str),
    /// A role of no rights makes an operator where scripts search.
    Plant,
    /// Make an object in the schema of the claims.
    Clutter,
    /// The claims are as after a dump and its restore.
    Restore,
    /// The claims are as in a copy of another database.
    Copy,
}

impl Version {
    fn text(self, versions: &[String]) -> String {
        match self {
            Self::Word(word) => word.to_owned(),
            Self::Exact(at) => versions[at % versions.len()].clone(),
            Self::Like(at) => {
                let version = &versions[at % versions.len()];
                format!("{}*", &version[..version.len() - 1])
            }
        }
    }
}

impl Template {
    /// `PluginsMap`, where these are the versions of each extension.
    pub fn map(&self, versions: &BTreeMap<String, Vec<String>>) -> Value {
        let mut map = json!({});
        for (key, Entry { version, schema }) in &self.map {
            let unknown = vec!["1.0".to_owned()];
            let text = version.text(versions.get(&key.to_lowercase()).unwrap_or(&unknown));
            map[key] = match schema.filter(|_| text != "absent") {
                None => json!(text),
                Some(schema) => json!({ "Version": text, "Schema": schema }),
            };
        }
        if let Some(version) = self.star {
            map["*"] = json!(version);
        }
        map
    }
}

fn a_version() -> impl Strategy<Value = Version> {
    prop_oneof![
        6 => prop::sample::select(vec!["", "any", "latest", "latest"]).prop_map(Version::Word),
        8 => any::<usize>().prop_map(Version::Exact),
        2 => any::<usize>().prop_map(Version::Like),
        4 => Just(Version::Word("absent")),
        1 => prop::sample::select(vec!["9.9", "9.*"]).prop_map(Version::Word),
    ]
}

fn a_key() -> impl Strategy<Value = String> {
    let name = || prop::sample::select(&NAMES[..]);
    prop_oneof![
        30 => name().prop_map(ToOwned::to_owned),
        2 => name().prop_map(str::to_uppercase),
        1 => Just("no_such_extension".to_owned()),
    ]
}

fn a_template() -> impl Strategy<Value = Template> {
    let schema = || prop::sample::select(vec!["public", "ext", "Other \"one\"", "housed_home"]);
    let entry = (a_version(), prop::option::weighted(0.4, schema()))
        .prop_map(|(version, schema)| Entry { version, schema });
    (
        prop_oneof![Just(vec![0]), Just(vec![1]), Just(vec![0, 1]), Just(vec![])],
        prop::sample::select(vec!["Retain", "Drop", "Drop", "DropCascade", "DropCascade"]),
        prop::sample::select(vec!["Fail", "Keep"]),
        prop::collection::btree_map(a_key(), entry, 0..5),
        prop::sample::select(vec![None, None, None, Some("any"), Some("latest")]),
        prop::bool::weighted(0.2),
        prop::bool::weighted(0.1),
    )
        .prop_map(|(databases, policy, downgrade, map, star, is_limited, is_elsewhere)| {
            let databases = databases.into_iter().collect();
            Template { databases, policy, downgrade, map, star, is_limited, is_elsewhere }
        })
}

fn a_change() -> impl Strategy<Value = ManualChange> {
    use ManualChange::{Clutter, Copy, Create, Drop, Plant, Recreate, Restore, Schema, Use, Write};
    let name = || prop::sample::select(&NAMES[..]);
    let schema = || prop::sample::select(vec!["public", "public", "ext", "housed_home"]);
    prop_oneof![
        10 => (name(), any::<usize>(), schema())
            .prop_map(|(name, version, schema)| Create { name, version, schema }),
        2 => name().prop_map(Drop),
        2 => name().prop_map(Recreate),
        3 => prop::sample::select(vec!["citext", "cube", "hstore", "ltree"]).prop_map(Use),
        2 => prop::sample::select(vec!["keeper", "seeded"]).prop_map(Write),
        1 => schema().prop_map(Schema),
        1 => Just(Plant),
        1 => Just(Clutter),
        1 => Just(Restore),
        1 => Just(Copy),
    ]
}

/// Anything that can happen.
pub fn any_action() -> impl Strategy<Value = Action> {
    let who = || 0..RESOURCES;
    prop_oneof![
        5 => (who(), a_template()).prop_map(|(who, template)| Action::Deploy { who, template }),
        5 => (who(), a_template()).prop_map(|(who, template)| Action::Edit { who, template }),
        1 => who().prop_map(|who| Action::Delete { who }),
        6 => (0..DATABASES.len(), a_change())
            .prop_map(|(database, change)| Action::Hand { database, change }),
    ]
}
