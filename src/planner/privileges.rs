//! What the role, or the server's settings, would not let through.

use crate::planner::catalog::{Installed, Observed, Offered};
use crate::planner::problem::Problem;
use crate::text::listed;

/// Extensions that need a library loaded when the server starts, or their `CREATE EXTENSION` fails.
/// Source: Amazon RDS user guide, and each extension's own documentation.
const PRELOADED: [&str; 6] =
    ["pg_cron", "pg_tle", "pg_transport", "pgaudit", "pglogical", "plrust"];

impl Problem {
    /// What the role may not do. Of an update by a member of `rds_extension` the server decides.
    pub(crate) fn of_privileges(
        version: &Offered,
        subject: &str,
        observed: &Observed,
    ) -> Option<Self> {
        let name = &version.name;
        if observed.is_decided_by_server(name) || !version.superuser {
            return None;
        }
        let (role, subject) = (observed.role.clone(), subject.to_owned());
        if let Some(delegated) = &observed.rds_delegated_extensions {
            if observed.installed(name).is_some() {
                return None;
            }
            if !version.trusted {
                let delegated = listed(words(delegated));
                return Some(Self::NotDelegated { subject, delegated, role });
            }
        }
        if !version.trusted {
            let rds = observed.rds_extensions.is_some();
            let remedy = if rds { " or of a member of `rds_superuser`" } else { "" };
            let version = version.version.clone();
            return Some(Self::NeedsSuperuser { subject, version, role, remedy });
        }
        let database = observed.database.clone();
        (!observed.may_create).then_some(Self::MayNotCreate { subject, role, database })
    }

    /// An extension that the role certainly may not update, move or drop.
    pub(crate) fn of_ownership(installed: &Installed, observed: &Observed) -> Option<Self> {
        (!installed.owned && !observed.is_ownership_decided_by_server(&installed.name))
            .then(|| Self::NotOwner { name: installed.name.clone(), role: observed.role.clone() })
    }

    /// What the server's settings would not let through.
    pub(crate) fn of_parameter_group(name: &str, subject: &str, observed: &Observed) -> Vec<Self> {
        let mut problems = Vec::new();
        let subject = || subject.to_owned();
        if let Some(loaded) = &observed.libraries
            && PRELOADED.contains(&name)
            && !words(loaded).any(|path| library(path) == name)
        {
            problems.push(Self::NotPreloaded {
                subject: subject(),
                libraries: listed(words(loaded)),
                remedy: if observed.rds_extensions.is_some() {
                    "on RDS: add it in the parameter group and reboot the instance first"
                } else {
                    "add it there and restart the server first"
                },
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
            problems.push(Self::NotAllowed { subject: subject(), allowed: listed(words(allowed)) });
        }
        if let Some(supported) = &observed.rds_extensions
            && !supported.is_empty()
            && !lists(supported, name)
        {
            problems.push(Self::NotSupported { subject: subject() });
        }
        problems
    }
}

impl Observed {
    /// Whether the server lets the role do with an extension more than the catalog says of its
    /// rights: it is a superuser or a cloud's stand-in for one, or the server runs the extension's
    /// statements as a superuser.
    pub(crate) fn is_decided_by_server(&self, name: &str) -> bool {
        let delegated = self.rds_delegated_extensions.as_deref().unwrap_or_default();
        self.superuser
            || self.delegated
            || lists(&self.privileged_extensions, name)
            || lists(delegated, name)
            || lists(delegated, "*")
    }

    /// Whether it may let the role change or drop what others own.
    pub(crate) fn is_ownership_decided_by_server(&self, name: &str) -> bool {
        self.is_decided_by_server(name) || self.rds_delegated_extensions.is_some()
    }
}

/// The words of a setting that is a list.
fn words(setting: &str) -> impl Iterator<Item = &str> {
    setting.split(',').map(|word| word.trim().trim_matches('"'))
}

fn lists(setting: &str, word: &str) -> bool {
    words(setting).any(|other| other == word)
}

/// The name of a library, without its folder (`$libdir/`) and its ending.
fn library(path: &str) -> &str {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.strip_suffix(".so").unwrap_or(file)
}
