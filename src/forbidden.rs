//! What the role, or the server's settings, would not let through.

use crate::observed::{Observed, Offered};
use crate::problem::Problem;
use crate::words::listed;

/// Extensions that need a library loaded when the server starts, or their `CREATE EXTENSION` fails.
/// Source: Amazon RDS user guide, and each extension's own documentation.
const PRELOADED: [&str; 6] =
    ["pg_cron", "pg_tle", "pg_transport", "pgaudit", "pglogical", "plrust"];

impl Problem {
    /// What the role may not do.
    pub(crate) fn of_privileges(version: &Offered, observed: &Observed) -> Option<Self> {
        if observed.superuser || observed.delegated || !version.superuser {
            return None;
        }
        let role = observed.role.clone();
        let name = version.name.clone();
        if let Some(delegated) = &observed.rds_delegated_extensions {
            if lists(delegated, &name) || lists(delegated, "*") {
                return None;
            }
            if !version.trusted {
                let delegated = listed(words(delegated));
                return Some(Self::NotDelegated { name, delegated, role });
            }
        }
        if !version.trusted {
            return Some(Self::NeedsSuperuser { name, version: version.version.clone(), role });
        }
        let database = observed.database.clone();
        (!observed.may_create).then_some(Self::MayNotCreate { name, role, database })
    }

    /// What the server's settings would not let through.
    pub(crate) fn of_parameter_group(name: &str, observed: &Observed) -> Vec<Self> {
        let mut problems = Vec::new();
        if let Some(libraries) = &observed.libraries
            && PRELOADED.contains(&name)
            && !lists(libraries, name)
        {
            problems.push(Self::NotPreloaded {
                name: name.to_owned(),
                libraries: listed(words(libraries)),
            });
        }
        if let Some(cron_database) = &observed.cron_database
            && name == "pg_cron"
            && *cron_database != observed.database
        {
            problems.push(Self::CronDatabase {
                cron_database: cron_database.clone(),
                database: observed.database.clone(),
            });
        }
        if let Some(allowed) = &observed.rds_allowed_extensions
            && !allowed.trim().is_empty()
            && !lists(allowed, name)
            && !lists(allowed, "*")
        {
            problems
                .push(Self::NotAllowed { name: name.to_owned(), allowed: listed(words(allowed)) });
        }
        if let Some(supported) = &observed.rds_extensions
            && !supported.is_empty()
            && !lists(supported, name)
        {
            problems.push(Self::NotSupported { name: name.to_owned() });
        }
        problems
    }
}

/// The words of a setting that is a list.
fn words(setting: &str) -> impl Iterator<Item = &str> {
    setting.split(',').map(|word| word.trim().trim_matches('"'))
}

fn lists(setting: &str, word: &str) -> bool {
    words(setting).any(|other| other == word)
}
