//! What the role, or the server's settings, would certainly not let through.

use crate::planner::catalog::{Catalog, Installed, Offered, lists, words};
use crate::problem::Problem;
use crate::text::listed;

/// Extensions that need a library loaded when the server starts, or their `CREATE EXTENSION` fails.
/// Source: Amazon RDS user guide, and each extension's own documentation.
const PRELOADED: [&str; 6] =
    ["pg_cron", "pg_tle", "pg_transport", "pgaudit", "pglogical", "plrust"];

/// Why the role may not create or update to this version. Of an update by a member of
/// `rds_extension` the server decides. `subject` names the extension, and what requires it.
pub(super) fn to_create(version: &Offered, subject: &str, catalog: &Catalog) -> Option<Problem> {
    let name = &version.name;
    if catalog.is_decided_by_server(name) || !version.superuser {
        return None;
    }
    let (role, database) = (&catalog.role, &catalog.database);
    if let Some(delegated) = &catalog.rds_delegated_extensions {
        if catalog.installed(name).is_some() {
            return None;
        }
        if !version.trusted {
            return Some(Problem::new(format!(
                "{subject}: This extension is not specified in \"rds.allowed_delegated_extensions\" \
                 (it has: {}), which says what role `{role}`, a member of `rds_extension`, may \
                 create: add it there, or use a secret of a member of `rds_superuser`",
                listed(words(delegated))
            )));
        }
    }
    if !version.trusted {
        let rds = catalog.rds_extensions.is_some();
        let remedy = if rds { " or of a member of `rds_superuser`" } else { "" };
        return Some(Problem::new(format!(
            "{subject} {} may be installed by a superuser only (it is not trusted), and role `{role}` \
             is none: use a secret of one{remedy}",
            version.version
        )));
    }
    (!catalog.may_create).then(|| {
        Problem::new(format!(
            "{subject}: role `{role}` may not create extensions here: GRANT CREATE ON DATABASE \
             `{database}` TO `{role}`"
        ))
    })
}

/// Why the role may not update, move or drop an extension.
pub(super) fn to_change(installed: &Installed, catalog: &Catalog) -> Option<Problem> {
    let (Installed { name, owned, .. }, role) = (installed, &catalog.role);
    (!owned && !catalog.is_ownership_decided_by_server(name)).then(|| {
        Problem::new(format!(
            "`{name}` is installed and not owned by role `{role}`, which therefore cannot change or \
             drop it: use a secret of its owner"
        ))
    })
}

/// What the server's settings would not let through.
pub(super) fn settings(name: &str, subject: &str, catalog: &Catalog) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut problem = |sentence: String| problems.push(Problem::new(sentence));
    if let Some(loaded) = &catalog.libraries
        && PRELOADED.contains(&name)
        && !words(loaded).any(|path| library(path) == name)
    {
        let remedy = if catalog.rds_extensions.is_some() {
            "on RDS: add it in the parameter group and reboot the instance first"
        } else {
            "add it there and restart the server first"
        };
        problem(format!(
            "{subject} needs its library in `shared_preload_libraries` (it has: {}): {remedy}",
            listed(words(loaded))
        ));
    }
    if let Some(cron_database) = &catalog.cron_database
        && name == "pg_cron"
        && *cron_database != catalog.database
    {
        problem(format!(
            "`pg_cron` can only be installed in database `{cron_database}` (`cron.database_name`), \
             not in `{}`: set `Databases`, or the parameter",
            catalog.database
        ));
    }
    if let Some(allowed) = &catalog.rds_allowed_extensions
        && !allowed.trim().is_empty()
        && !lists(allowed, name)
        && !lists(allowed, "*")
    {
        problem(format!(
            "{subject}: This extension is not specified in \"rds.allowed_extensions\" (it has: {}): \
             add it in the parameter group",
            listed(words(allowed))
        ));
    }
    if let Some(supported) = &catalog.rds_extensions
        && !supported.is_empty()
        && !lists(supported, name)
    {
        problem(format!(
            "{subject} is not in \"rds.extensions\", the list of what this engine version supports: \
             upgrade the engine, or leave it out"
        ));
    }
    problems
}

/// The name of a library, without its folder (`$libdir/`) and its ending.
fn library(path: &str) -> &str {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.strip_suffix(".so").unwrap_or(file)
}
