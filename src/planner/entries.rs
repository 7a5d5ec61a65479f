//! The entries of the map, by the server's spelling, and which of them are not as desired.

use std::collections::{BTreeMap, BTreeSet};

use crate::planner::catalog::{Catalog, Installed};
use crate::planner::desired::{Desired, DesiredExtension, DesiredVersion, Unnamed};
use crate::planner::{refusal, version};
use crate::problem::{MAX_PROBLEMS, Problem};

/// The map, by the server's spelling.
pub(super) type Entries<'a> = BTreeMap<&'a str, &'a DesiredExtension>;

/// Finds each key of the map in the server's own list: exactly first, then without regard to case.
pub(super) fn resolve<'a>(
    desired: &'a Desired,
    catalog: &'a Catalog,
) -> (Entries<'a>, Vec<Problem>) {
    let (mut entries, mut problems) = (Entries::new(), Vec::new());
    let mut keys: BTreeMap<&str, &str> = BTreeMap::new();
    for (key, extension) in &desired.extensions {
        if problems.len() >= MAX_PROBLEMS {
            break;
        }
        match catalog.alike(key).as_slice() {
            [name] => {
                if let Some(other) = keys.insert(name, key) {
                    problems.push(refusal::same_extension(name, [other, key]));
                }
                entries.insert(*name, extension);
            }
            // What no server knows is not there.
            [] if extension.version == DesiredVersion::Absent => {}
            [] => problems.push(refusal::unknown_extension(key, catalog)),
            alike => problems.push(refusal::ambiguous(key, alike)),
        }
    }
    (entries, problems)
}

/// The extensions that something may have to be done for: what the server offers of them is read
/// before the plan is made. Those that they require are not among them.
pub fn unsatisfied<'a>(desired: &'a Desired, catalog: &'a Catalog) -> BTreeSet<&'a str> {
    let is_unsatisfied = |(name, entry): (&'a str, &DesiredExtension)| {
        let default = catalog.available.get(name).and_then(Option::as_deref);
        let is_absent = entry.version == DesiredVersion::Absent;
        let is_satisfied = is_absent
            || catalog.installed(name).is_some_and(|installed| {
                version::is_satisfied(&entry.version, &installed.version, default)
                    && entry.schema.as_ref().is_none_or(|schema| *schema == installed.schema)
            });
        (!is_satisfied).then_some(name)
    };
    let entries = resolve(desired, catalog).0;
    let mut names = BTreeSet::new();
    if desired.unnamed == Some(Unnamed::Latest) {
        let is_latest = |installed: &&Installed| {
            let default = catalog.available.get(&installed.name).and_then(Option::as_ref);
            default == Some(&installed.version)
        };
        let unnamed = unnamed(desired, &entries, catalog).into_iter();
        names.extend(unnamed.filter(|it| !is_latest(it)).map(|it| it.name.as_str()));
    }
    names.extend(entries.into_iter().filter_map(is_unsatisfied));
    let mut heads: Vec<&str> = names.iter().copied().collect();
    while let Some(head) = heads.pop() {
        let head = catalog.installed(head).into_iter();
        let members = head.flat_map(|head| versioned_with(&head.name, &head.version, catalog));
        heads.extend(members.map(|it| it.name.as_str()).filter(|name| names.insert(name)));
    }
    names
}

/// What the key `'*'` stands for: nothing without that key.
pub(super) fn unnamed<'a>(
    desired: &Desired,
    entries: &Entries,
    catalog: &'a Catalog,
) -> Vec<&'a Installed> {
    let installed = catalog.installed.iter().filter(|_| desired.unnamed.is_some());
    installed.filter(|installed| !entries.contains_key(installed.name.as_str())).collect()
}

/// What requires an extension and has its version, as PostGIS's topology, raster and geocoder do.
pub(super) fn versioned_with<'a>(
    head: &'a str,
    version: &'a str,
    catalog: &'a Catalog,
) -> impl Iterator<Item = &'a Installed> {
    let installed = catalog.installed.iter();
    installed.filter(move |it| it.version == version && it.requires.iter().any(|it| it == head))
}
