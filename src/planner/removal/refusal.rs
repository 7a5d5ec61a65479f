//! Why nothing is dropped, or claimed: one sentence each.

use crate::planner::removal::dependents::ConfigTable;
use crate::planner::removal::ownership::{ClaimTable, Claimant};
use crate::problem::Problem;
use crate::text::listed;

/// How many dependents a sentence names.
const MAX_LISTED: usize = 12;

/// RESTRICT takes nothing along: the first few of `count` objects that depend on an extension.
/// `may_cascade` says that `DropCascade` would take them along.
pub(super) fn depended_on(
    extension: &str,
    objects: &[&str],
    count: usize,
    may_cascade: bool,
) -> Problem {
    let named = &objects[..objects.len().min(MAX_LISTED)];
    let some = match (named.join(", "), count.saturating_sub(named.len())) {
        (named, 0) => named,
        (named, more) if named.is_empty() => format!("{more} objects"),
        (named, more) => format!("{named} and {more} more"),
    };
    let (depend, them, along) =
        if count == 1 { ("depends", "that", "it") } else { ("depend", "them", "them") };
    let cascade = if may_cascade {
        format!(
            ", or use `RemovalPolicy: DropCascade`, which takes {along} along (a stack in \
             `DELETE_FAILED` can no longer change to it)"
        )
    } else {
        String::new()
    };
    Problem::new(format!(
        "`{extension}` cannot be dropped: {some} {depend} on it; drop or change {them} first{cascade}"
    ))
}

/// RESTRICT takes no rows along.
pub(super) fn holds_rows(table: &ConfigTable, may_cascade: bool) -> Problem {
    Problem::new(format!(
        "`{}` is not dropped: its table `{table}` has rows of yours, which would be lost; delete them \
         first{}",
        table.extension,
        or_cascade(may_cascade)
    ))
}

/// It is not known whether there are any rows.
pub(super) fn rows_not_readable(table: &ConfigTable, role: &str, may_cascade: bool) -> Problem {
    Problem::new(format!(
        "`{}` is not dropped: role `{role}` cannot see whether its table `{table}` has rows of yours; \
         GRANT SELECT on it (with row security, to a role that bypasses it){}",
        table.extension,
        or_cascade(may_cascade)
    ))
}

fn or_cascade(may_cascade: bool) -> &'static str {
    if may_cascade {
        ", or use `RemovalPolicy: DropCascade` (a stack in `DELETE_FAILED` can no longer change to it)"
    } else {
        ""
    }
}

/// What is wanted `absent` is needed by what the map lists.
pub(super) fn required_by_listed(name: &str, by: &str) -> Problem {
    Problem::new(format!(
        "`{name}` is wanted `absent`, and `{by}`, which is wanted too, requires it: leave one of them out"
    ))
}

/// Functions and procedures of users need it.
pub(super) fn is_plpgsql() -> Problem {
    Problem::new("`plpgsql` is wanted `absent`, and is never dropped: leave it out")
}

/// What is wanted `absent` is listed by another resource.
pub(super) fn claimed_elsewhere(name: &str, by: &Claimant) -> Problem {
    Problem::new(format!(
        "`{name}` is wanted `absent`, and resource `{}` of {} lists it: remove it there first, or, if \
         that stack is gone, delete its rows from `cfn_postgres_extensions.claim`",
        by.logical_id, by.stack
    ))
}

/// What is wanted `absent` may be listed by another resource: the claims cannot be read or believed.
pub(super) fn unknown_claims(names: &[&str], table: &ClaimTable, role: &str) -> Problem {
    let owner = &table.owner;
    let why = if !table.trusted {
        format!(
            "cannot be trusted: it, or its schema, belongs to role `{owner}`; drop it, or ALTER SCHEMA \
             and ALTER TABLE ... OWNER TO `{role}`"
        )
    } else if !table.ours {
        "is not the table of this function, as it makes it: rename it, or take away what was added"
            .to_owned()
    } else {
        format!(
            "may not be read by role `{role}`: as `{owner}`, GRANT USAGE ON SCHEMA \
             cfn_postgres_extensions and SELECT ON its table `claim`"
        )
    };
    Problem::new(format!(
        "what is wanted `absent` ({}) may be listed by another resource, and \
         `cfn_postgres_extensions.claim`, which would say so, {why}",
        listed(names.iter().copied())
    ))
}

/// `DropCascade` would take along what another resource lists.
pub(super) fn listed_elsewhere(extensions: &[String], extension: &str, by: &Claimant) -> Problem {
    Problem::new(format!(
        "{} cannot be dropped: extension `{extension}` depends on it, which resource `{}` of {} lists \
         too; remove it there first, or, if that stack is gone, delete its rows from \
         `cfn_postgres_extensions.claim`",
        listed(extensions.iter().map(String::as_str)),
        by.logical_id,
        by.stack
    ))
}

/// `DropCascade` would take along what the map lists.
pub(super) fn listed_here(extensions: &[String], extension: &str) -> Problem {
    Problem::new(format!(
        "{} cannot be dropped: extension `{extension}` depends on it, which `PluginsMap` lists; list \
         both, or neither",
        listed(extensions.iter().map(String::as_str))
    ))
}

/// `DropCascade` would take along what the resource has claimed and does not drop.
pub(super) fn stays(extensions: &[String], extension: &str) -> Problem {
    Problem::new(format!(
        "{} cannot be dropped: extension `{extension}` depends on it and stays: it was there before \
         this resource, or the old properties do not list it; drop it by hand first",
        listed(extensions.iter().map(String::as_str))
    ))
}

/// What keeps claims from being read or written, if anything does.
pub(super) fn of_claim_table(table: &ClaimTable, role: &str) -> Option<Problem> {
    let owner = &table.owner;
    let sentence = if !table.trusted {
        format!(
            "`RemovalPolicy` keeps its claims in schema `cfn_postgres_extensions`, and that one, or \
             its table `claim`, belongs to role `{owner}`, whose triggers would run with the rights of \
             `{role}`: drop it, or ALTER SCHEMA and ALTER TABLE ... OWNER TO `{role}`, or use `Retain`"
        )
    } else if table.table && !table.ours {
        "`RemovalPolicy` keeps its claims in `cfn_postgres_extensions.claim`, and what has that name \
         here is not the table of this function, as it makes it: somebody gave it other columns, \
         defaults, constraints, indexes, triggers, rules, policies or children; take them away or \
         rename it, or use `Retain`"
            .to_owned()
    } else if !table.readable || !table.writable {
        format!(
            "`RemovalPolicy` keeps its claims in `cfn_postgres_extensions.claim`, where role `{role}` \
             may not read and write: as `{owner}`, GRANT USAGE, CREATE ON SCHEMA \
             cfn_postgres_extensions and SELECT, INSERT, UPDATE, DELETE ON its table `claim`, or use \
             `Retain`"
        )
    } else {
        return None;
    };
    Some(Problem::new(sentence))
}
