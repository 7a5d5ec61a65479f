//! What must be true, worked out from the contract and not from the function's own code.

use std::collections::{BTreeMap, BTreeSet};

use cfn_postgres_extensions::planner::desired::RemovalPolicy;

use super::event::{DATABASES, ManualChange, requirement};

/// A resource on one server: its claims are those of this id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// Which resource.
    pub who: usize,
    /// At which place.
    pub place: usize,
}

/// Whose claims a request is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// Those of this id.
    This(Key),
    /// Those of the resource, whatever their ids are.
    AnyOf(usize),
}

impl Whose {
    fn has(self, key: Key) -> bool {
        match self {
            Self::This(this) => this == key,
            Self::AnyOf(who) => who == key.who,
        }
    }
}

/// What a request wants of one database.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The keys of the map; none where the resource leaves.
    pub map: BTreeSet<&'static str>,
    /// What shall not be there.
    pub absent: BTreeSet<&'static str>,
    /// The map, and all that it requires.
    pub listed: BTreeSet<&'static str>,
    /// The keys of the map before; none where there is no telling, and all that is claimed counts.
    pub before: Option<BTreeSet<&'static str>>,
}

/// What one database holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The extensions, and who would drop them.
    pub extensions: BTreeMap<&'static str, Option<Key>>,
    /// The extensions that somebody's table uses.
    pub used: BTreeSet<&'static str>,
    /// `keeper`'s table has a row of somebody's.
    pub rows: bool,
    /// A member of `citext` uses `hstore`.
    pub linked: bool,
    /// Who lists what under `Drop` and `DropCascade`, the first one first.
    pub lists: Vec<(Key, &'static str)>,
    /// Somebody dropped what was created by a resource, and no request has been there since: a
    /// dump would tell otherwise.
    pub stirred: bool,
    /// It came with a dump, and no request has been there since: the names say who created what.
    pub restored: bool,
    /// It is a copy of another one, with claims that speak of that.
    pub copy: bool,
}

impl Default for Held {
    fn default() -> Self {
        Self {
            extensions: [("plpgsql", None)].into(),
            used: BTreeSet::new(),
            rows: false,
            linked: false,
            lists: Vec::new(),
            stirred: false,
            restored: false,
            copy: false,
        }
    }
}

/// All databases.
pub type Oracle = [Held; DATABASES];

impl Held {
    /// What goes with these: the extensions that depend on them.
    pub fn along(&self, names: &BTreeSet<&'static str>) -> BTreeSet<&'static str> {
        let mut gone = names.clone();
        for name in self.extensions.keys() {
            let needs = requirement(name).is_some_and(|needed| names.contains(needed))
                || (*name == "citext" && self.linked && names.contains("hstore"));
            if needs {
                gone.insert(name);
            }
        }
        gone
    }

    /// Whether these can be dropped without anything that is not theirs.
    fn may_restrict(&self, names: &BTreeSet<&'static str>) -> bool {
        self.along(names) == *names
            && names.iter().all(|name| !self.used.contains(name))
            && !(names.contains("keeper") && self.rows)
    }

    fn remove(&mut self, names: &BTreeSet<&'static str>) {
        self.extensions.retain(|name, _| !names.contains(name));
        self.used.retain(|name| !names.contains(name));
        self.rows &= !names.contains("keeper");
        self.linked &= !names.contains("citext") && !names.contains("hstore");
    }

    fn create(&mut self, name: &'static str, owner: Option<Key>) {
        if let Some(required) = requirement(name) {
            self.create(required, owner);
        }
        self.extensions.entry(name).or_insert(owner);
    }

    /// What a request makes of it; `None` where it is refused.
    pub fn after(&self, whose: Whose, policy: RemovalPolicy, asked: &Asked) -> Option<Self> {
        let mut after = self.clone();
        let key = match whose {
            Whose::This(key) if policy != RemovalPolicy::Retain => Some(key),
            _ => None,
        };
        for name in &asked.listed {
            after.create(name, key);
        }
        let heir = |name: &str| {
            self.lists.iter().find(|(key, it)| !whose.has(*key) && *it == name).map(|it| it.0)
        };
        let absent: BTreeSet<&'static str> =
            self.extensions.keys().copied().filter(|name| asked.absent.contains(name)).collect();
        let is_kept = |name: &&str| *name == "plpgsql" || heir(name).is_some();
        if asked.absent.iter().any(|name| asked.listed.contains(name)) || absent.iter().any(is_kept)
        {
            return None;
        }
        if policy == RemovalPolicy::Retain {
            if !self.may_restrict(&absent) {
                return None;
            }
            after.remove(&absent);
            // It neither owns nor protects anything from now on.
            after.lists.retain(|(key, _)| !whose.has(*key));
            for owner in after.extensions.values_mut() {
                *owner = owner.filter(|key| !whose.has(*key));
            }
            return Some(after);
        }
        let mine = |name: &str| self.lists.iter().any(|(key, it)| whose.has(*key) && *it == name);
        let owned = |name: &str| {
            self.extensions.get(name).copied().flatten().is_some_and(|it| whose.has(it))
        };
        let names = || self.extensions.keys().copied();
        let required = |by: &BTreeSet<&'static str>| -> BTreeSet<&'static str> {
            let there = by.iter().filter(|name| self.extensions.contains_key(*name));
            by.iter().copied().chain(there.filter_map(|name| requirement(name))).collect()
        };
        let unlisted: BTreeSet<&'static str> = self
            .lists
            .iter()
            .map(|(_, name)| *name)
            .filter(|name| mine(name) && !asked.listed.contains(name))
            .collect();
        let leaves: BTreeSet<&'static str> = match &asked.before {
            None => unlisted,
            Some(before) => {
                let mut before = required(before);
                before.extend(&asked.absent);
                let stays = unlisted.difference(&before).copied().collect();
                let stays = required(&stays);
                unlisted
                    .into_iter()
                    .filter(|it| before.contains(it) && !stays.contains(it))
                    .collect()
            }
        };
        let leaving = |name: &str| leaves.contains(name);
        let leaves_for_good = |name: &&str| {
            leaving(name) && owned(name) && heir(name).is_none() && *name != "plpgsql"
        };
        let doomed: BTreeSet<_> =
            names().filter(|name| absent.contains(name) || leaves_for_good(name)).collect();
        if !asked.listed.is_empty() || self.lists.iter().any(|(key, _)| whose.has(*key)) {
            (after.stirred, after.restored) = (false, false);
        }
        let gone = self.along(&doomed);
        let refused = if policy == RemovalPolicy::DropCascade && absent.is_empty() {
            let mut along = gone.difference(&doomed);
            along.any(|name| heir(name).is_some() || asked.listed.contains(name) || mine(name))
        } else {
            !self.may_restrict(&doomed)
        };
        if refused {
            return None;
        }
        after.remove(&gone);
        for (name, owner) in &mut after.extensions {
            if leaving(name) && owned(name) {
                *owner = heir(name);
            }
        }
        after.lists.retain(|(key, name)| !whose.has(*key) || !leaving(name));
        for name in &asked.listed {
            let entry = (key.expect("who lists has an id"), *name);
            if !after.lists.contains(&entry) {
                after.lists.push(entry);
            }
        }
        Some(after)
    }

    /// What somebody makes of it by hand; `None` where there is nothing to do it with.
    pub fn meddled(&self, change: ManualChange, name: &'static str) -> Option<Self> {
        let mut after = self.clone();
        let there = self.extensions.contains_key(name);
        match change {
            ManualChange::Create if !there => after.create(name, None),
            ManualChange::Drop | ManualChange::Recreate if there => {
                let gone = self.along(&[name].into());
                let owned = gone.iter().any(|name| self.extensions[name].is_some());
                if owned && self.restored {
                    return None;
                }
                after.stirred |= owned;
                after.remove(&gone);
                if change == ManualChange::Recreate {
                    after.create(name, None);
                }
            }
            ManualChange::Use if there && name != "plpgsql" && !self.used.contains(name) => {
                after.used.insert(name);
            }
            ManualChange::LetGo if self.used.contains(name) => {
                after.used.remove(name);
            }
            ManualChange::Write if self.extensions.contains_key("keeper") && !self.rows => {
                after.rows = true;
            }
            ManualChange::Erase if self.rows => after.rows = false,
            ManualChange::Link
                if !self.linked
                    && ["citext", "hstore"].iter().all(|it| self.extensions.contains_key(it)) =>
            {
                after.linked = true;
            }
            // The claims say who created what, by name, wherever the table has come to.
            ManualChange::Restore if !self.stirred => after.restored = true,
            ManualChange::Clutter if !self.lists.is_empty() => {}
            _ => return None,
        }
        Some(after)
    }

    /// A copy in another database: its claims speak of this one. `None` where this is a copy
    /// itself: taken back to where it came from, its claims would be true again.
    pub fn copied(&self) -> Option<Self> {
        let mut copy =
            Self { lists: Vec::new(), stirred: false, restored: false, copy: true, ..self.clone() };
        copy.extensions.values_mut().for_each(|owner| *owner = None);
        (!self.copy).then_some(copy)
    }

    /// What a look at it must show.
    pub fn snapshot(&self) -> Snapshot {
        let claims = self.lists.iter().map(|(key, name)| {
            let created = self.extensions.get(name).is_some_and(|owner| *owner == Some(*key));
            (*key, *name, created)
        });
        Snapshot {
            extensions: self.extensions.keys().copied().collect(),
            used: self.used.clone(),
            rows: self.rows,
            claims: claims.collect(),
        }
    }
}

/// What a look at a database shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The extensions.
    pub extensions: BTreeSet<&'static str>,
    /// Those that somebody's table uses.
    pub used: BTreeSet<&'static str>,
    /// Whether `keeper`'s table has a row of somebody's.
    pub rows: bool,
    /// The claims that speak of this database, and whether they own what is there now.
    pub claims: BTreeSet<(Key, &'static str, bool)>,
}
