//! Why nothing is dropped, or noted: one sentence each.

use crate::text::listed;

/// One thing that stands between a resource and what it does not list any more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// `Drop` takes nothing along.
    #[error("`{extension}` cannot be dropped: {}", depending(objects, *count))]
    DependedOn {
        /// The extension.
        extension: String,
        /// Kind and name of what depends on it, the first of all.
        objects: Vec<String>,
        /// How many there are.
        count: usize,
    },
    /// `Drop` takes no rows along.
    #[error(
        "`{name}` is not dropped: its table `{table}` has rows of yours, which would be lost; \
         delete them first, or use `RemovalPolicy: DropCascade`"
    )]
    HoldsRows {
        /// The extension.
        name: String,
        /// Its table.
        table: String,
    },
    /// Nobody knows whether there are any.
    #[error(
        "`{name}` is not dropped: role `{role}` cannot see whether its table `{table}` has rows of \
         yours; GRANT SELECT on it (with row security, to a role that bypasses it), or use \
         `RemovalPolicy: DropCascade`"
    )]
    RowsUnseen {
        /// The extension.
        name: String,
        /// Its table.
        table: String,
        /// Who we are.
        role: String,
    },
    /// `DropCascade` would take along what somebody else wants.
    #[error(
        "{} cannot be dropped: extension `{extension}` depends on it, which resource `{resource}` \
         of {stack} lists too; remove it there first",
        quoted(extensions)
    )]
    ListedElsewhere {
        /// The extensions.
        extensions: Vec<String>,
        /// What depends on them.
        extension: String,
        /// Who lists that.
        resource: String,
        /// In which stack.
        stack: String,
    },
    /// `DropCascade` would take along what the map lists.
    #[error(
        "{} cannot be dropped: extension `{extension}` depends on it, which `PluginsMap` lists; \
         list both, or neither",
        quoted(extensions)
    )]
    ListedHere {
        /// The extensions.
        extensions: Vec<String>,
        /// What depends on them.
        extension: String,
    },
    /// `DropCascade` would take along what the resource has claimed and does not drop.
    #[error(
        "{} cannot be dropped: extension `{extension}` depends on it and stays: it was there before \
         this resource, or the old properties do not list it; drop it by hand first",
        quoted(extensions)
    )]
    NotDropped {
        /// The extensions.
        extensions: Vec<String>,
        /// What depends on them.
        extension: String,
    },
    /// The claims' schema is not to be trusted.
    #[error(
        "`RemovalPolicy` keeps its claims in schema `cfn_postgres_extensions`, and that one, or its \
         table `claim`, belongs to role `{owner}`, whose triggers would run with the rights of \
         `{role}`: drop it, or ALTER SCHEMA and ALTER TABLE ... OWNER TO `{role}`, or use `Retain`"
    )]
    ClaimsOfSomebody {
        /// Whose it is.
        owner: String,
        /// Who we are.
        role: String,
    },
    /// The claims' table is something else.
    #[error(
        "`RemovalPolicy` keeps its claims in `cfn_postgres_extensions.claim`, and what has that \
         name here is not the table of this function, as it makes it: somebody gave it other columns, \
         defaults, constraints, indexes, triggers, rules, policies or children; take them away or \
         rename it, or use `Retain`"
    )]
    ClaimsAreNone,
    /// The claims' table is out of reach.
    #[error(
        "`RemovalPolicy` keeps its claims in `cfn_postgres_extensions.claim`, where role `{role}` \
         may not read and write: as `{owner}`, GRANT USAGE, CREATE ON SCHEMA cfn_postgres_extensions \
         and SELECT, INSERT, UPDATE, DELETE ON its table `claim`, or use `Retain`"
    )]
    ClaimsForbidden {
        /// Whose it is.
        owner: String,
        /// Who we are.
        role: String,
    },
}

/// The names of extensions.
fn quoted(names: &[String]) -> String {
    listed(names.iter().map(String::as_str))
}

/// The first few of `count` objects, that they depend on it, and what to do.
fn depending(objects: &[String], count: usize) -> String {
    const MOST: usize = 12;
    let named = &objects[..objects.len().min(MOST)];
    let some = match (named.join(", "), count.saturating_sub(named.len())) {
        (named, 0) => named,
        (named, more) if named.is_empty() => format!("{more} objects"),
        (named, more) => format!("{named} and {more} more"),
    };
    let (depend, them, along) =
        if count == 1 { ("depends", "that", "it") } else { ("depend", "them", "them") };
    format!(
        "{some} {depend} on it; drop or change {them} first, or use `RemovalPolicy: DropCascade`, \
         which takes {along} along"
    )
}
