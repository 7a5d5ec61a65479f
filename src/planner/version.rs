//! Which version an entry of the map means: `3.4.3`, `latest`, `any`, `3.4.*`.

use crate::planner::catalog::{Catalog, Installed, Offered};
use crate::planner::desired::DesiredVersion;
use crate::planner::refusal;
use crate::planner::version_order::{matches, rank};
use crate::problem::Problem;

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
