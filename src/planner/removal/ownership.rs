//! Who lists which extension, and who created it: the table `cfn_postgres_extensions.claim`.
//!
//! Written under `Drop` and `DropCascade` alone, in the transaction of the change itself.

use serde::Deserialize;

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
pub enum Claimants {
    /// Those of this very resource.
    This(Claimant),
    /// Those of this stack's resource on this server, whatever its physical id (which is empty here):
    /// for a Delete with an id that this function never issued.
    AnyOf(Claimant),
}

impl Default for Claimants {
    fn default() -> Self {
        Self::This(Claimant::default())
    }
}

impl Claimants {
    /// Whether these are the claims of `other`.
    pub fn has(&self, other: &Claimant) -> bool {
        match self {
            Self::This(this) => this == other,
            Self::AnyOf(this) => this.stack == other.stack && this.logical_id == other.logical_id,
        }
    }
}

/// A row of the table.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "facts of the row, not states of ours")]
pub struct Claim {
    /// Whose it is.
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
pub struct ClaimTable {
    /// The owner of the schema, or the role that is not trusted.
    pub owner: String,
    /// Schema and table belong to the role, to a superuser, or, on a cloud, to a member of its
    /// stand-in for one: another role's triggers and policies would run with this role's rights. A
    /// role that the database itself has a session take counts as another.
    pub trusted: bool,
    /// Something of the table's name is there.
    pub table: bool,
    /// It is a table as this product makes it, down to its defaults: nothing in it runs anybody's
    /// code.
    pub ours: bool,
    /// The role may read it.
    pub readable: bool,
    /// The role may write to it; where it is missing, create it.
    pub writable: bool,
    /// The role may drop both, and nothing depends on the table, as a view does.
    pub owned: bool,
    /// Nothing else is in the schema.
    pub alone: bool,
}

impl ClaimTable {
    /// Whether the claims can be read, and believed.
    pub fn has_claims(&self) -> bool {
        self.trusted && self.table && self.ours && self.readable
    }
}

/// One change of the claims. Displays as its SQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClaimChange {
    /// The table, and its schema where that is missing too.
    CreateTable {
        /// Whether the schema is missing.
        schema: bool,
    },
    /// What came with a dump gets the oids of this place.
    RenewOids,
    /// What speaks of another database is removed.
    RemoveOfOtherDatabases,
    /// What was created and is gone, or another one now, has no owner any more.
    EndOwnership,
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
    TransferOwnership {
        /// The owner.
        claimant: Claimant,
        /// The extension.
        extension: String,
    },
    /// The last claim is gone, and so is the table.
    DropTable,
    /// Nothing else is in its schema.
    DropSchema,
}
