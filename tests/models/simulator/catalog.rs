//! What the simulated servers offer, and what a database holds.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

/// An extension that the server offers. Its scripts do next to nothing, and so take no time.
pub struct Extension {
    /// Its name.
    pub name: &'static str,
    /// What `latest` means.
    pub default: &'static str,
    /// Every version, from the lowest to the highest release; what is no release comes first.
    pub versions: &'static [&'static str],
    /// The one version that has a script of its own; the others are reached by updates.
    pub first: &'static str,
    /// The update scripts.
    pub updates: &'static [(&'static str, &'static str)],
    /// What has to be there before it.
    pub requires: &'static [&'static str],
    /// The schema that it prescribes.
    pub schema: Option<&'static str>,
    /// Whether `SET SCHEMA` can move it.
    pub relocatable: bool,
    /// The version whose update script fails on the server.
    pub broken: Option<&'static str>,
}

const PLAIN: Extension = Extension {
    name: "",
    default: "1.0",
    versions: &["1.0"],
    first: "1.0",
    updates: &[],
    requires: &[],
    schema: None,
    relocatable: true,
    broken: None,
};

/// Everything that is offered.
pub const EXTENSIONS: [Extension; 8] = [
    Extension {
        name: "alpha",
        default: "1.2",
        versions: &["1.0next", "1.0", "1.1", "1.2", "1.10"],
        updates: &[
            ("1.0", "1.1"),
            ("1.1", "1.2"),
            ("1.2", "1.10"),
            ("1.10", "1.2"),
            ("1.0", "1.0next"),
        ],
        ..PLAIN
    },
    Extension {
        name: "beta",
        default: "2.1",
        versions: &["2.0", "2.1"],
        first: "2.0",
        updates: &[("2.0", "2.1")],
        requires: &["alpha"],
        relocatable: false,
        ..PLAIN
    },
    Extension {
        name: "gamma",
        default: "v4",
        versions: &["0", "v4"],
        first: "0",
        updates: &[("0", "v4")],
        requires: &["beta"],
        ..PLAIN
    },
    Extension {
        name: "Delta",
        default: "3.0-1",
        versions: &["3.0-1", "3.1"],
        first: "3.0-1",
        updates: &[("3.0-1", "3.1")],
        ..PLAIN
    },
    Extension { name: "housed", schema: Some("home"), relocatable: false, ..PLAIN },
    // Fails on the server, after all checks, with other steps before it in the transaction.
    Extension {
        name: "unlucky",
        versions: &["1.0", "2.0"],
        updates: &[("1.0", "2.0")],
        broken: Some("2.0"),
        ..PLAIN
    },
    Extension { name: "twin", ..PLAIN },
    Extension { name: "Twin", ..PLAIN },
];

/// The extension of that exact name.
pub fn extension(name: &str) -> Option<&'static Extension> {
    EXTENSIONS.iter().find(|extension| extension.name == name)
}

impl Extension {
    /// Control file and scripts, as `tools/postgres.py` takes them.
    pub fn files(&self) -> Value {
        let Self { name, default, first, .. } = self;
        let mut control = vec![format!("default_version = '{default}'")];
        if !self.requires.is_empty() {
            control.push(format!("requires = '{}'", self.requires.join(", ")));
        }
        control.push(match self.schema {
            Some(schema) => format!("schema = '{schema}'"),
            None => format!("relocatable = {}", self.relocatable),
        });
        let objects = format!(
            "CREATE VIEW \"{name}_view\" AS SELECT 1 AS one;\nCREATE TYPE \"{name}_type\" AS (one int);"
        );
        let mut scripts = json!({ *first: objects });
        for (from, to) in self.updates {
            let broken = self.broken == Some(to);
            scripts[format!("{from}--{to}")] =
                json!(if broken { "SELECT 1 / 0;" } else { "-- nothing to do" });
        }
        json!({ "control": control.join("\n"), "scripts": scripts })
    }

    /// Whether updates lead from one version to another.
    pub fn reaches(&self, from: &str, to: &str) -> bool {
        let mut seen = BTreeSet::from([from]);
        let mut waiting = vec![from];
        while let Some(at) = waiting.pop() {
            for (_, next) in self.updates.iter().filter(|(start, _)| *start == at) {
                if seen.insert(next) {
                    waiting.push(next);
                }
            }
        }
        seen.contains(to)
    }
}

/// An installed extension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    /// Its version.
    pub version: String,
    /// The schema of its objects.
    pub schema: String,
}

/// What one database holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Catalog {
    /// Every extension but `plpgsql`.
    pub extensions: BTreeMap<String, Installed>,
    /// Every schema that somebody made, but that of the claims.
    pub schemas: BTreeSet<String>,
    /// The extensions of whose types a column of the user's is, with rows in it.
    pub used: BTreeSet<String>,
    /// Who claims which extension, and whether it created the one that is there.
    pub claims: BTreeMap<(String, String), bool>,
}

impl Catalog {
    /// As [`CATALOG`] answers.
    pub fn of_rows(rows: Vec<Vec<String>>) -> Self {
        let mut catalog = Self::default();
        for row in rows {
            let [name, version, schema] = <[String; 3]>::try_from(row).expect("three columns");
            match name.as_str() {
                "∅ schema" => drop(catalog.schemas.insert(schema)),
                "∅ used" => drop(catalog.used.insert(schema)),
                _ => drop(catalog.extensions.insert(name, Installed { version, schema })),
            }
        }
        catalog
    }

    /// The statements that empty a database again.
    pub fn emptied(&self) -> Option<String> {
        let quoted = |names: Vec<&String>| {
            names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ")
        };
        let mut statements = Vec::new();
        if !self.extensions.is_empty() {
            let names = quoted(self.extensions.keys().collect());
            statements.push(format!("DROP EXTENSION {names} CASCADE"));
        }
        if !self.claims.is_empty() {
            statements.push("DROP SCHEMA cfn_postgres_extensions CASCADE".to_owned());
        }
        if !self.schemas.is_empty() {
            statements.push(format!("DROP SCHEMA {}", quoted(self.schemas.iter().collect())));
        }
        (!statements.is_empty()).then(|| statements.join("; "))
    }
}

/// The schema of the claims.
pub const CLAIMS_SCHEMA: &str = "cfn_postgres_extensions";

/// Reads a [`Catalog`], but for its claims.
pub const CATALOG: &str = "
    SELECT extname, extversion, extnamespace::regnamespace::text
    FROM pg_catalog.pg_extension WHERE extname <> 'plpgsql'
    UNION ALL
    SELECT '∅ schema', '', nspname FROM pg_catalog.pg_namespace
    WHERE nspname !~ '^pg_' AND nspname NOT IN ('public', 'information_schema')
    UNION ALL
    SELECT '∅ used', '', substr(c.relname, 5)
    FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid
    WHERE c.relname ~ '^use_' AND a.attname = 'it' AND NOT a.attisdropped";

/// Reads the claims, where there are any.
pub const CLAIMS: &str = "
    SELECT c.physical_id, c.extension, (c.created AND e.oid IS NOT NULL)::text
    FROM cfn_postgres_extensions.claim AS c
    LEFT JOIN pg_catalog.pg_extension AS e ON e.extname = c.extension AND e.oid = c.extension_oid";
