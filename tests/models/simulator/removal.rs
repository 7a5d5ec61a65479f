//! What an event must drop and claim, worked out from the contract and not from the function's own
//! code.

use std::collections::BTreeSet;

use super::catalog::{Catalog, EXTENSIONS, extension};
use super::oracle::find;
use super::template::{Policy, Template};

/// Who asks, and what may go.
pub struct Asker<'a> {
    /// `RemovalPolicy`.
    pub policy: Policy,
    /// The id of new claims, which are the claims that it is about; all are where there is none.
    pub id: Option<&'a str>,
    /// The template before, where there is one: a Create has none, and nothing to let go.
    pub old: Option<&'a Template>,
    /// Whether it is a Delete, which lets all go.
    pub deletes: bool,
}

/// These, and all that they require.
pub fn required<'a>(names: impl IntoIterator<Item = &'a str>) -> BTreeSet<&'static str> {
    let mut all = BTreeSet::new();
    let mut names: Vec<&str> = names.into_iter().collect();
    while let Some(extension) = names.pop().and_then(extension) {
        if all.insert(extension.name) {
            names.extend(extension.requires);
        }
    }
    all
}

/// What a template names, as the server spells it.
pub fn named(template: &Template) -> BTreeSet<&'static str> {
    template.keys().iter().filter_map(|key| find(key)).map(|found| found.name).collect()
}

/// These, and the extensions that require them.
pub fn with_dependents(names: &BTreeSet<&'static str>) -> BTreeSet<&'static str> {
    let depends = |name: &str| !required([name]).is_disjoint(names);
    EXTENSIONS.iter().map(|it| it.name).filter(|name| depends(name)).collect()
}

impl Asker<'_> {
    fn has(&self, id: &str) -> bool {
        self.id.is_none_or(|mine| mine == id)
    }

    /// Drops and claims in `after`, which holds already what the event lists; `None` where the
    /// contract refuses.
    pub fn settle(
        &self,
        before: &Catalog,
        after: &mut Catalog,
        listed: &BTreeSet<&'static str>,
    ) -> Option<()> {
        let is_mine = |id: &str| self.has(id);
        if self.policy == Policy::Retain {
            after.claims.retain(|(id, _), _| !is_mine(id));
            return Some(());
        }
        // A rollback of a move finds those of its other id there.
        let by = |mine: bool| -> BTreeSet<&str> {
            let claims = before.claims.keys().filter(|(id, _)| is_mine(id) == mine);
            claims.map(|(_, name)| name.as_str()).collect()
        };
        let (claimed, elsewhere) = (by(true), by(false));
        let created = |name: &str| {
            let claims = before.claims.iter();
            claims.filter(|(_, created)| **created).any(|((id, it), _)| is_mine(id) && it == name)
        };
        let there = |names: BTreeSet<&'static str>| -> BTreeSet<&'static str> {
            let is_there = |name: &&str| before.extensions.contains_key(*name);
            let roots: Vec<&str> = names.iter().copied().filter(is_there).collect();
            names.into_iter().chain(required(roots)).collect()
        };
        let unlisted: BTreeSet<&'static str> = EXTENSIONS
            .iter()
            .map(|it| it.name)
            .filter(|name| claimed.contains(name) && !listed.contains(name))
            .collect();
        let leaves: BTreeSet<&'static str> = if self.deletes {
            unlisted
        } else {
            let old = there(self.old.map(named).unwrap_or_default());
            let stays = there(unlisted.difference(&old).copied().collect());
            unlisted.intersection(&old).copied().filter(|name| !stays.contains(name)).collect()
        };
        let doomed: BTreeSet<&'static str> =
            leaves.iter().copied().filter(|it| created(it) && !elsewhere.contains(it)).collect();
        let gone: BTreeSet<&'static str> = with_dependents(&doomed)
            .into_iter()
            .filter(|name| before.extensions.contains_key(*name))
            .collect();
        let refused = match self.policy {
            Policy::DropCascade => gone.difference(&doomed).any(|name| {
                listed.contains(name) || claimed.contains(name) || elsewhere.contains(name)
            }),
            _ => gone != doomed || doomed.iter().any(|name| before.used.contains(*name)),
        };
        if refused {
            return None;
        }
        after.extensions.retain(|name, _| !gone.contains(name.as_str()));
        after.used.retain(|name| !gone.contains(name.as_str()));
        after.claims.retain(|(id, name), _| !is_mine(id) || !leaves.contains(name.as_str()));
        for ((_, name), owns) in &mut after.claims {
            *owns |= leaves.contains(name.as_str()) && created(name);
        }
        for name in listed {
            let id = self.id.expect("who lists has an id");
            let created = created(name) || !before.extensions.contains_key(*name);
            after.claims.insert((id.to_owned(), (*name).to_owned()), created);
        }
        Some(())
    }
}
