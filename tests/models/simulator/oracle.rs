//! What an event must do, worked out from the contract and not from the function's own code.

use std::collections::BTreeSet;

use super::catalog::{Catalog, EXTENSIONS, Extension, Installed, extension};
use super::removal::{Asker, required};
use super::template::{Template, Wish};

/// What a Create or an Update comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Success {
    /// What the database would hold.
    pub after: Catalog,
    /// The extensions of the map, as the server spells them.
    pub names: BTreeSet<&'static str>,
    /// It is not: all checks are passed, and the server fails.
    pub broken: bool,
}

/// What a template does to a database; `None` if it is refused beforehand.
pub fn predict(template: &Template, asker: &Asker, before: &Catalog) -> Option<Success> {
    if template.flaw.is_some() {
        return None;
    }
    let mut after = before.clone();
    let mut broken = false;
    let mut goals: Vec<(&'static Extension, &Wish)> = Vec::new();
    for (key, wish) in &template.map {
        let found = find(key)?;
        if goals.iter().any(|(other, _)| other.name == found.name) {
            return None;
        }
        goals.push((found, wish));
    }
    for (extension, wish) in &goals {
        if let Some(installed) = after.extensions.get_mut(extension.name) {
            broken |= update(extension, installed, wish, template.keep)?;
        }
    }
    for (extension, _) in &goals {
        broken |= create(extension, &goals, &mut after)?;
    }
    after.schemas.extend(after.extensions.values().map(|it| it.schema.clone()));
    after.schemas.remove("public");
    let names: BTreeSet<&'static str> = goals.iter().map(|(extension, _)| extension.name).collect();
    asker.settle(before, &mut after, &required(names.iter().copied()))?;
    Some(Success { after, names, broken })
}

/// The extension that a key of a map means.
pub fn find(key: &str) -> Option<&'static Extension> {
    let mut alike = EXTENSIONS.iter().filter(|it| it.name.eq_ignore_ascii_case(key));
    extension(key).or_else(|| match (alike.next(), alike.next()) {
        (Some(one), None) => Some(one),
        _ => None,
    })
}

/// Creates an extension that is missing, and before it what it requires; says whether the server
/// fails.
fn create(
    extension: &'static Extension,
    goals: &[(&'static Extension, &Wish)],
    after: &mut Catalog,
) -> Option<bool> {
    if after.extensions.contains_key(extension.name) {
        return Some(false);
    }
    let mut broken = false;
    for name in extension.requires {
        broken |= create(super::catalog::extension(name)?, goals, after)?;
    }
    let wish = goals.iter().find(|(goal, _)| goal.name == extension.name).map(|(_, wish)| *wish);
    let version = match wish.map(|wish| wish.version.as_str()) {
        None | Some("" | "any" | "latest") => extension.default,
        Some(version) => match version.strip_suffix('*') {
            None => extension.versions.iter().find(|offered| **offered == version)?,
            Some(start) => best(extension.versions, extension.default, start)?,
        },
    };
    let schema = match (extension.schema, wish.and_then(|wish| wish.schema.as_deref())) {
        (Some(own), Some(wanted)) if own != wanted => return None,
        (own, wanted) => own.or(wanted).unwrap_or("public"),
    };
    broken |= extension.broken == Some(version);
    let installed = Installed { version: version.to_owned(), schema: schema.to_owned() };
    after.extensions.insert(extension.name.to_owned(), installed);
    Some(broken)
}

/// Brings an installed extension to what is wished; says whether the server fails.
fn update(
    extension: &Extension,
    installed: &mut Installed,
    wish: &Wish,
    keep: bool,
) -> Option<bool> {
    let from = installed.version.clone();
    let reaches = |to: &str| extension.reaches(&from, to);
    let target = match wish.version.as_str() {
        "" | "any" => from.as_str(),
        "latest" if reaches(extension.default) => extension.default,
        "latest" => return None,
        version => match version.strip_suffix('*') {
            None if reaches(version) => version,
            None if extension.versions.contains(&version) && keep => from.as_str(),
            None => return None,
            Some(start) if from.starts_with(start) && !from.contains("next") => from.as_str(),
            Some(start) => {
                let near: Vec<&str> =
                    extension.versions.iter().copied().filter(|to| reaches(to)).collect();
                best(&near, extension.default, start)?
            }
        },
    };
    let broken = target != from && extension.broken == Some(target);
    target.clone_into(&mut installed.version);
    match &wish.schema {
        Some(schema) if *schema != installed.schema => {
            if !extension.relocatable {
                return None;
            }
            installed.schema.clone_from(schema);
        }
        _ => {}
    }
    Some(broken)
}

/// The default if it starts like that, else the highest release that does.
fn best<'a>(versions: &[&'a str], default: &'a str, start: &str) -> Option<&'a str> {
    let good = |version: &&str| version.starts_with(start) && !version.contains("next");
    if versions.contains(&default) && good(&default) {
        return Some(default);
    }
    versions.iter().copied().rfind(good)
}
