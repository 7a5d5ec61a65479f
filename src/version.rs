//! Which version a wish comes down to: a version is opaque, only the matches of a `*` are ranked.

use std::cmp::Ordering;

use crate::observed::{Installed, Observed, Offered};
use crate::problem::Problem;
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

/// Whether a version starts like that and is a release: PostGIS's `next`, `dev` and `unpackaged`
/// install, and must never be picked.
fn matches(version: &str, start: &str) -> bool {
    version.starts_with(start) && is_release(version)
}

/// Whether a version is one to be picked or named. PostGIS's `ANY` is only a step of a path.
pub(crate) fn is_release(version: &str) -> bool {
    version.contains(|letter: char| letter.is_ascii_digit())
        && !["next", "dev", "unpackaged"].iter().any(|word| version.contains(word))
}

/// The order of releases: runs of digits by their value, and what has letters (`3.5.0beta1`) below
/// what has not (`3.5.0`).
pub(crate) fn rank(a: &str, b: &str) -> Ordering {
    let (a, b) = (runs(a), runs(b));
    for index in 0.. {
        let order = match (a.get(index), b.get(index)) {
            (None, None) => return Ordering::Equal,
            (None, Some(Run::Letters(_))) => Ordering::Greater,
            (Some(Run::Letters(_)), None) => Ordering::Less,
            (a, b) => a.cmp(&b),
        };
        if order.is_ne() {
            return order;
        }
    }
    Ordering::Equal
}

/// A part of a version. Letters rank below numbers.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Run<'a> {
    Letters(&'a str),
    /// Its length without leading zeros, then its digits: compares as the number would, however
    /// long.
    Digits(usize, &'a str),
}

fn runs(version: &str) -> Vec<Run<'_>> {
    let mut runs = Vec::new();
    for part in version.split(|letter: char| !letter.is_alphanumeric()) {
        let mut rest = part;
        while let Some(first) = rest.chars().next() {
            let digits = first.is_ascii_digit();
            let end =
                rest.find(|letter: char| letter.is_ascii_digit() != digits).unwrap_or(rest.len());
            let (run, after) = rest.split_at(end);
            let number = run.trim_start_matches('0');
            runs.push(if digits { Run::Digits(number.len(), number) } else { Run::Letters(run) });
            rest = after;
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn releases_are_ranked_by_their_numbers() {
        let mut versions =
            vec!["3.5.0", "3.10.0", "3.5.0beta1", "3.5.0rc2", "3.5", "3.5.0-1", "3.4.12"];
        versions.sort_by(|a, b| rank(a, b));
        assert_eq!(
            versions,
            ["3.4.12", "3.5", "3.5.0beta1", "3.5.0rc2", "3.5.0", "3.5.0-1", "3.10.0"]
        );
    }

    #[test]
    fn what_is_no_release_never_matches() {
        for version in ["3.3.2next", "3.3.2dev", "unpackaged", "3.4.1"] {
            assert!(!matches(version, "3.3."), "{version}");
        }
        assert!(matches("3.3.2", "3.3."));
    }

    proptest! {
        #[test]
        fn rank_is_an_order(a in "[0-9a-c.]{0,6}", b in "[0-9a-c.]{0,6}", c in "[0-9a-c.]{0,6}") {
            prop_assert_eq!(rank(&a, &b), rank(&b, &a).reverse());
            if rank(&a, &b).is_le() && rank(&b, &c).is_le() {
                prop_assert!(rank(&a, &c).is_le(), "{} {} {}", a, b, c);
            }
        }
    }
}
