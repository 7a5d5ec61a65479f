//! Who lists which extension, and who created it: the table `cfn_postgres_extensions.claim`.
//!
//! Written under `Drop` and `DropCascade` alone, in the transaction of the change itself.

use std::fmt::{self, Display, Formatter};

use serde::Deserialize;

use crate::planner::quote::Literal;

/// The schema of the table, and the table.
pub const SCHEMA: &str = "cfn_postgres_extensions";

/// A resource of this product's: one of a stack's, on one server.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Deserialize)]
pub struct Claimant {
    /// The stack's ARN; empty in a direct invocation that gives none.
    pub stack: String,
    /// The resource's name in the template.
    pub logical_id: String,
    /// The id that this function gave it.
    pub physical_id: String,
}

/// Whose claims a request is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whose {
    /// Those of this very resource.
    This(Claimant),
    /// Those of this stack's resource on this server, whatever its physical id: for a Delete with
    /// an id that this function never issued.
    AnyOf {
        /// The stack's ARN.
        stack: String,
        /// The resource's name in the template.
        logical_id: String,
    },
}

impl Default for Whose {
    fn default() -> Self {
        Self::This(Claimant::default())
    }
}

impl Whose {
    /// Whether these are the claims of `claimant`.
    pub fn has(&self, claimant: &Claimant) -> bool {
        match self {
            Self::This(this) => this == claimant,
            Self::AnyOf { stack, logical_id } => {
                *stack == claimant.stack && *logical_id == claimant.logical_id
            }
        }
    }
}

/// A row of the table.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "facts of the row, not states of ours")]
pub struct Claim {
    /// Whose.
    pub claimant: Claimant,
    /// The extension's name.
    pub extension: String,
    /// Whether the claimant created what is there now, or inherited that from who did.
    pub created: bool,
    /// The row says that it did, and what it created is gone: dropped, or dropped and created
    /// again. It still lists the extension.
    #[serde(default)]
    pub stale: bool,
    /// It speaks of another database.
    pub void: bool,
    /// It came with a dump: its oids are those of another place.
    pub restored: bool,
    /// The transaction that wrote the row last.
    #[serde(default)]
    pub written: String,
}

/// The schema where the table is or would be.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "facts of the server, not states of ours")]
pub struct Home {
    /// Whose schema it is.
    pub owner: String,
    /// Schema and table belong to us, to a superuser, or, on a cloud, to a member of its stand-in
    /// for one: somebody else's triggers and policies would run with our rights. A role that the
    /// database itself has us take is somebody else.
    pub trusted: bool,
    /// Something of the table's name is there.
    pub table: bool,
    /// It is a table as we make it, down to its defaults: nothing in it can run anybody's code.
    pub ours: bool,
    /// We may read it.
    pub readable: bool,
    /// We may write to it; where it is missing, create it.
    pub writable: bool,
    /// We may drop both: they are ours, and nothing depends on the table, as a view does.
    pub owned: bool,
    /// Nothing else is in the schema.
    pub alone: bool,
}

impl Home {
    /// Whether the claims can be read, and believed.
    pub fn has_claims(&self) -> bool {
        self.trusted && self.table && self.ours && self.readable
    }
}

/// One statement about claims. Each displays as its SQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// The table, and its schema where that is missing too.
    CreateTable {
        /// Whether the schema is missing.
        schema: bool,
    },
    /// What came with a dump gets the oids of this place.
    Rebind,
    /// What speaks of another database is removed.
    Purge,
    /// What was created and is gone, or another one now, is nobody's.
    Disown,
    /// These are listed by a resource, and were created by it or were not.
    Claim {
        /// Whose they are.
        claimant: Claimant,
        /// Names, and whether it created them.
        extensions: Vec<(String, bool)>,
    },
    /// These are not listed by it any more.
    Release {
        /// Whose they were.
        claimant: Claimant,
        /// Their names.
        extensions: Vec<String>,
    },
    /// Another resource takes the creator's place.
    Inherit {
        /// The heir.
        claimant: Claimant,
        /// The extension.
        extension: String,
    },
    /// The last claim is gone, and so is the table.
    DropTable,
    /// Nothing else is in its schema.
    DropSchema,
}

impl Display for Entry {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let is = |claimant: &Claimant| {
            format!(
                "stack = {} AND logical_id = {} AND physical_id = {}",
                Literal(&claimant.stack),
                Literal(&claimant.logical_id),
                Literal(&claimant.physical_id)
            )
        };
        match self {
            Self::CreateTable { schema } => {
                if *schema {
                    write!(out, "CREATE SCHEMA {SCHEMA} CREATE TABLE claim ({COLUMNS})")
                } else {
                    write!(out, "CREATE TABLE {SCHEMA}.claim ({COLUMNS})")
                }
            }
            Self::Rebind => write!(
                out,
                "UPDATE {SCHEMA}.claim AS c SET home = n.oid, extension_oid = coalesce(\
                 (SELECT e.oid FROM pg_extension AS e WHERE e.extname = c.extension), 0) \
                 FROM pg_namespace AS n WHERE n.nspname = '{SCHEMA}' AND c.home <> n.oid \
                 AND c.database = current_database()"
            ),
            Self::Purge => {
                write!(out, "DELETE FROM {SCHEMA}.claim WHERE database <> current_database()")
            }
            Self::Disown => write!(
                out,
                "UPDATE {SCHEMA}.claim AS c SET created = false WHERE c.created AND NOT EXISTS \
                 (SELECT FROM pg_extension AS e \
                 JOIN pg_namespace AS n ON n.nspname = '{SCHEMA}' WHERE e.extname = c.extension \
                 AND (e.oid = c.extension_oid OR c.home <> n.oid))"
            ),
            Self::Claim { claimant, extensions } => {
                let values: Vec<_> = extensions
                    .iter()
                    .map(|(name, created)| format!("({}, {created})", Literal(name)))
                    .collect();
                write!(
                    out,
                    "INSERT INTO {SCHEMA}.claim (stack, logical_id, physical_id, extension, \
                     created, extension_oid, home, database) \
                     SELECT {}, {}, {}, e.extname, v.created, e.oid, n.oid, current_database() \
                     FROM (VALUES {}) AS v (name, created) \
                     JOIN pg_extension AS e ON e.extname = v.name \
                     JOIN pg_namespace AS n ON n.nspname = '{SCHEMA}' \
                     ON CONFLICT (stack, logical_id, physical_id, extension) DO UPDATE SET \
                     created = EXCLUDED.created, extension_oid = EXCLUDED.extension_oid, \
                     home = EXCLUDED.home, database = EXCLUDED.database",
                    Literal(&claimant.stack),
                    Literal(&claimant.logical_id),
                    Literal(&claimant.physical_id),
                    values.join(", ")
                )
            }
            Self::Release { claimant, extensions } => {
                let names: Vec<_> =
                    extensions.iter().map(|name| Literal(name).to_string()).collect();
                write!(
                    out,
                    "DELETE FROM {SCHEMA}.claim WHERE {} AND extension IN ({})",
                    is(claimant),
                    names.join(", ")
                )
            }
            Self::Inherit { claimant, extension } => write!(
                out,
                "UPDATE {SCHEMA}.claim SET created = true, extension_oid = e.oid, home = n.oid \
                 FROM pg_extension AS e, pg_namespace AS n WHERE n.nspname = '{SCHEMA}' \
                 AND e.extname = extension AND {} AND extension = {}",
                is(claimant),
                Literal(extension)
            ),
            Self::DropTable => write!(out, "DROP TABLE {SCHEMA}.claim"),
            Self::DropSchema => write!(out, "DROP SCHEMA {SCHEMA}"),
        }
    }
}

/// The table's columns. `home` is the oid of the table's own schema when the row was written: where
/// it is another one now, the row came with a dump, and `extension_oid` means nothing.
const COLUMNS: &str = "stack text NOT NULL, logical_id text NOT NULL, physical_id text NOT NULL, \
     extension text NOT NULL, created boolean NOT NULL, extension_oid oid NOT NULL, \
     home oid NOT NULL, database text NOT NULL, claimed_at timestamptz NOT NULL DEFAULT now(), \
     PRIMARY KEY (stack, logical_id, physical_id, extension)";
