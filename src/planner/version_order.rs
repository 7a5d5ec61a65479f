//! Which versions are releases, and in what order: a version is opaque, only the matches of a `*` and
//! lists for people are ranked.

use std::cmp::Ordering;

/// Whether a version starts like that and is a release: PostGIS's `next`, `dev` and `unpackaged`
/// install, and must never be picked.
pub fn matches(version: &str, start: &str) -> bool {
    version.starts_with(start) && is_release(version)
}

/// Whether a version is one to be picked or named. PostGIS's `ANY` is only a step of a path.
pub fn is_release(version: &str) -> bool {
    version.contains(|letter: char| letter.is_ascii_digit())
        && !["next", "dev", "unpackaged"].iter().any(|word| version.contains(word))
}

/// The order of releases: runs of digits by their value, and what has letters (`3.5.0beta1`) below
/// what has not (`3.5.0`).
pub fn rank(a: &str, b: &str) -> Ordering {
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
