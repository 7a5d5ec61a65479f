//! Which version an entry of the map means: `3.4.3`, `latest`, `any`, `3.4.*`.

use std::collections::BTreeMap;

use crate::planner::catalog::{Catalog, Installed, Offered};
use crate::planner::desired::{DesiredExtension, DesiredVersion};
use crate::planner::refusal;
use crate::planner::version_order::{matches, rank};
use crate::problem::Problem;

/// Extensions whose update must be the first statement of a session, before any `BEGIN`.
const FIRST_STATEMENTS: [&str; 1] = ["timescaledb"];

/// What to do about the version of an installed extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum VersionChange<'a> {
    /// Nothing: it is as desired.
    UpToDate,
    /// Update it to this one, which a path reaches.
    Update(&'a str),
    /// The server knows this exact version, and no path leads to it.
    Unreachable(&'a str),
}

/// Whether an installed version is as desired, where this is the server's default version.
pub(super) fn is_satisfied(
    desired: &DesiredVersion,
    installed: &str,
    default: Option<&str>,
) -> bool {
    match desired {
        // What is `absent` is dropped, whatever its version.
        DesiredVersion::Any | DesiredVersion::Absent => true,
        DesiredVersion::Latest => default == Some(installed),
        DesiredVersion::Exact(version) => version == installed,
        DesiredVersion::StartsWith(start) => matches(installed, start),
    }
}

/// The version to create of an extension that is missing.
///
/// # Errors
/// The server does not offer such a version.
pub(super) fn to_create<'a>(
    desired: &DesiredVersion,
    name: &'a str,
    catalog: &'a Catalog,
) -> Result<&'a Offered, Problem> {
    let offered = || catalog.offered(name);
    let exactly = |version: &str| offered().find(|offered| offered.version == version);
    let default = catalog.available.get(name).and_then(Option::as_deref).and_then(exactly);
    let found = match desired {
        DesiredVersion::Any | DesiredVersion::Latest | DesiredVersion::Absent => default,
        DesiredVersion::Exact(version) => exactly(version),
        DesiredVersion::StartsWith(start) => {
            default.filter(|default| matches(&default.version, start)).or_else(|| {
                offered()
                    .filter(|offered| matches(&offered.version, start))
                    .max_by(|a, b| rank(&a.version, &b.version))
            })
        }
    };
    found.ok_or_else(|| refusal::version_not_offered(name, desired, catalog))
}

/// The version to bring an installed extension to.
///
/// # Errors
/// The server does not know such a version, or no path leads to any that would do.
pub(super) fn to_update<'a>(
    desired: &'a DesiredVersion,
    installed: &'a Installed,
    catalog: &'a Catalog,
) -> Result<VersionChange<'a>, Problem> {
    let name = installed.name.as_str();
    let default = catalog.available.get(name).and_then(Option::as_deref);
    if is_satisfied(desired, &installed.version, default) {
        return Ok(VersionChange::UpToDate);
    }
    let reachable =
        || catalog.update_targets(name).filter(|(_, reachable)| *reachable).map(|(it, _)| it);
    let exactly = |version: &'a str| {
        if let Some(found) = reachable().find(|target| *target == version) {
            return Ok(VersionChange::Update(found));
        }
        let is_known = catalog.update_targets(name).any(|(target, _)| target == version)
            || catalog.offered(name).any(|offered| offered.version == version);
        let not_offered = || refusal::version_not_offered(name, desired, catalog);
        is_known.then_some(VersionChange::Unreachable(version)).ok_or_else(not_offered)
    };
    match desired {
        DesiredVersion::Any | DesiredVersion::Absent => Ok(VersionChange::UpToDate),
        DesiredVersion::Exact(version) => exactly(version),
        DesiredVersion::Latest => match default.map(exactly) {
            Some(Ok(VersionChange::Unreachable(version))) => {
                Err(refusal::no_update_path(installed, version, false, catalog))
            }
            Some(target) => target,
            None => Err(refusal::version_not_offered(name, desired, catalog)),
        },
        DesiredVersion::StartsWith(start) => {
            let good = || reachable().filter(|version| matches(version, start));
            let best = good()
                .find(|version| Some(*version) == default)
                .or_else(|| good().max_by(|a, b| rank(a, b)));
            let is_known = || catalog.update_targets(name).any(|(it, _)| matches(it, start));
            match best {
                Some(version) => Ok(VersionChange::Update(version)),
                None if is_known() => {
                    Err(refusal::no_update_path(installed, &desired.to_string(), false, catalog))
                }
                None => Err(refusal::version_not_offered(name, desired, catalog)),
            }
        }
    }
}

/// Whether the server updates an extension by the first statement of a session only.
pub(super) fn is_first_statement(name: &str) -> bool {
    FIRST_STATEMENTS.contains(&name)
}

/// Whether raster leaves PostGIS, as it does with version 3.
pub(super) fn is_raster_split(installed: &Installed, to: &str) -> bool {
    let is_2 = |version: &str| version.starts_with("2.");
    installed.name == "postgis" && is_2(&installed.version) && !is_2(to)
}

/// The default version, where it is another one and the extension can be updated to it.
///
/// # Errors
/// Why the extension is kept.
pub(super) fn default_update<'a>(
    installed: &'a Installed,
    entries: &BTreeMap<&'a str, &'a DesiredExtension>,
    catalog: &'a Catalog,
) -> Result<Option<&'a str>, String> {
    let Installed { name, version, requires, .. } = installed;
    let Some(default) = catalog.available.get(name) else {
        return Err("its files are gone".to_owned());
    };
    let Some(default) = default.as_deref() else {
        return Err("it has no default version".to_owned());
    };
    if default == version {
        return Ok(None);
    }
    if is_first_statement(name) {
        return Err(format!("update it to {default} by the first statement of a session, by hand"));
    }
    if is_raster_split(installed, default) {
        return Err("run `SELECT postgis_extensions_upgrade()` by hand, twice".to_owned());
    }
    let to = |head: &'a Installed| match entries.get(head.name.as_str()) {
        Some(entry) => match to_update(&entry.version, head, catalog) {
            Ok(VersionChange::Update(to)) => to,
            _ => &head.version,
        },
        None => default_update(head, entries, catalog).ok().flatten().unwrap_or(&head.version),
    };
    let is_reachable = |to: &str| catalog.update_targets(name).any(|target| target == (to, true));
    // As PostGIS's topology goes with PostGIS. What cannot follow goes its own way at once, as it would
    // when the event is delivered again.
    let heads = requires.iter().filter_map(|name| catalog.installed(name));
    let heads = heads.filter(|head| {
        let theirs = catalog.available.get(&head.name).and_then(Option::as_deref);
        head.version == *version && theirs == Some(default)
    });
    let mut heads = heads.map(|head| (head, to(head)));
    let head = heads.find(|(_, to)| *to != default && (to == version || is_reachable(to)));
    match head {
        Some((head, to)) => Err(format!("it goes with {} {to}", head.name)),
        None if is_reachable(default) => Ok(Some(default)),
        None => Err(format!("no update path to {default}")),
    }
}
