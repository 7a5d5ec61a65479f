//! Which version a wish comes down to.

use crate::planner::catalog::{Installed, Observed, Offered};
use crate::planner::problem::Problem;
use crate::planner::version_order::{matches, rank};
use crate::request::WantedVersion;

/// What to do about the version of an installed extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target<'a> {
    /// Nothing: it has the version wanted.
    Settled,
    /// Update it to this one, which a path reaches.
    Update(&'a str),
    /// The server knows this exact version, and no path leads to it.
    Unreachable(&'a str),
}

/// The version to create of an extension that is missing: `wanted`, or the default where the map
/// does not list it.
///
/// # Errors
/// The server does not offer such a version.
pub fn to_create<'a>(
    wanted: Option<&WantedVersion>,
    default: Option<&str>,
    name: &'a str,
    observed: &'a Observed,
) -> Result<&'a Offered, Problem> {
    let offered = || observed.offered(name);
    let exactly = |version: &str| offered().find(|offered| offered.version == version);
    let default = default.and_then(exactly);
    let found = match wanted.unwrap_or(&WantedVersion::Any) {
        WantedVersion::Any | WantedVersion::Latest => default,
        WantedVersion::Exact(version) => exactly(version),
        WantedVersion::StartsWith(start) => {
            default.filter(|default| matches(&default.version, start)).or_else(|| {
                offered()
                    .filter(|offered| matches(&offered.version, start))
                    .max_by(|a, b| rank(&a.version, &b.version))
            })
        }
    };
    found.ok_or_else(|| {
        Problem::version_not_offered(name, wanted.unwrap_or(&WantedVersion::Any), observed)
    })
}

/// The version to bring an installed extension to.
///
/// # Errors
/// The server does not know such a version, or no path leads to any that would do.
pub fn to_update<'a>(
    wanted: &'a WantedVersion,
    installed: &'a Installed,
    observed: &'a Observed,
) -> Result<Target<'a>, Problem> {
    let name = installed.name.as_str();
    let reachable =
        || observed.targets(name).filter(|(_, reachable)| *reachable).map(|(version, _)| version);
    let exactly = |version: &'a str| {
        if version == installed.version {
            return Ok(Target::Settled);
        }
        if let Some(found) = reachable().find(|target| *target == version) {
            return Ok(Target::Update(found));
        }
        let known = observed.targets(name).any(|(target, _)| target == version)
            || observed.offered(name).any(|offered| offered.version == version);
        if known {
            Ok(Target::Unreachable(version))
        } else {
            Err(Problem::version_not_offered(name, wanted, observed))
        }
    };
    let default = observed.available.get(name).and_then(Option::as_deref);
    match wanted {
        WantedVersion::Any => Ok(Target::Settled),
        WantedVersion::Exact(version) => exactly(version),
        WantedVersion::Latest => match default.map(exactly) {
            Some(Ok(Target::Unreachable(version))) => {
                Err(Problem::no_update_path(installed, version, false, observed))
            }
            Some(target) => target,
            None => Err(Problem::version_not_offered(name, wanted, observed)),
        },
        WantedVersion::StartsWith(start) if matches(&installed.version, start) => {
            Ok(Target::Settled)
        }
        WantedVersion::StartsWith(start) => {
            let good = || reachable().filter(|version| matches(version, start));
            let best = good()
                .find(|version| Some(*version) == default)
                .or_else(|| good().max_by(|a, b| rank(a, b)));
            let known = || observed.targets(name).any(|(version, _)| matches(version, start));
            match best {
                Some(version) => Ok(Target::Update(version)),
                None if known() => {
                    Err(Problem::no_update_path(installed, &wanted.to_string(), false, observed))
                }
                None => Err(Problem::version_not_offered(name, wanted, observed)),
            }
        }
    }
}
