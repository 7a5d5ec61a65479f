//! Plays events in a world, and compares it with the oracle after each.

use std::collections::{BTreeMap, BTreeSet};

use cfn_postgres_extensions::planner::desired::RemovalPolicy;

use super::event::{Action, DATABASES, Id, ManualChange, PLACES, RESOURCES, Wish, requirement};
use super::oracle::{Asked, Key, Oracle, Snapshot, Whose};

/// Where a history takes place.
pub trait World {
    /// Scripts of its extensions are written in `plpgsql`, which therefore stays.
    const NEEDS_PLPGSQL: bool;
    /// Does what a request asks for; says whether it succeeded.
    fn request(&mut self, request: &Request) -> bool;
    /// Somebody does something by hand.
    fn meddle(&mut self, database: usize, change: ManualChange, extension: &'static str);
    /// What a database holds.
    fn snapshot(&mut self, database: usize) -> Snapshot;
}

/// What a function is asked for.
#[derive(Debug, Clone)]
pub struct Request {
    /// What `CloudFormation` calls it.
    pub kind: Kind,
    /// Whose claims it is about.
    pub whose: Whose,
    /// The resource, and the place whose id it comes with, where it comes with one of ours.
    pub key: Key,
    /// The id of a Delete.
    pub id: Id,
    /// The properties.
    pub wish: Wish,
    /// Those of an Update before.
    pub old: Option<Wish>,
}

/// What `CloudFormation` calls a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The resource is new.
    Create,
    /// It has another template.
    Update,
    /// It goes.
    Delete,
}

impl Request {
    /// What it wants of which database.
    pub fn asked(&self) -> BTreeMap<usize, Asked> {
        let nothing = || Asked {
            map: [].into(),
            absent: [].into(),
            listed: [].into(),
            before: self.before(),
        };
        let Wish { place, databases, policy, map, absent } = &self.wish;
        if self.kind == Kind::Delete {
            let touches = *policy != RemovalPolicy::Retain && self.id != Id::CreateFailed;
            let all = databases.iter().filter(|_| touches);
            return all.map(|database| (*database, nothing())).collect();
        }
        let mut asked = BTreeMap::new();
        if let Some(old) = &self.old
            && self.key.place == *place
            && [policy, &old.policy].iter().any(|policy| **policy != RemovalPolicy::Retain)
        {
            // Of another server's databases there is none here.
            let here = old.databases.iter().filter(|database| PLACES[*place].contains(database));
            asked.extend(here.map(|database| (*database, nothing())));
        }
        let wanted = || Asked {
            map: map.clone(),
            absent: absent.clone(),
            listed: self.wish.listed(),
            before: self.before(),
        };
        asked.extend(databases.iter().map(|database| (*database, wanted())));
        asked
    }

    /// What its old properties list, where it has any: on a new server there is none of that.
    fn before(&self) -> Option<BTreeSet<&'static str>> {
        let old = self.old.as_ref()?;
        let stays = self.key.place == self.wish.place;
        Some(old.map.iter().copied().filter(|_| stays).collect())
    }
}

/// What came of the requests of a history.
#[derive(Debug, Clone, Copy, Default)]
pub struct Count {
    /// Requests that succeeded.
    pub succeeded: u64,
    /// Requests that were refused.
    pub refused: u64,
    /// Extensions that requests dropped.
    pub dropped: u64,
    /// Ownerships that passed to another resource.
    pub inherited: u64,
    /// Updates that came late.
    pub late: u64,
    /// Extensions that went because they were wanted `absent`.
    pub absent: u64,
}

impl Count {
    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            succeeded: self.succeeded + other.succeeded,
            refused: self.refused + other.refused,
            dropped: self.dropped + other.dropped,
            inherited: self.inherited + other.inherited,
            late: self.late + other.late,
            absent: self.absent + other.absent,
        }
    }
}

/// A history that is being made.
pub struct History<'a, W> {
    world: &'a mut W,
    oracle: Oracle,
    resources: [Option<Wish>; RESOURCES],
    updates: Vec<Request>,
    /// What came of it so far.
    pub count: Count,
}

impl<'a, W: World> History<'a, W> {
    /// A new one, in an empty world.
    pub fn new(world: &'a mut W) -> Self {
        Self {
            world,
            oracle: Oracle::default(),
            resources: Default::default(),
            updates: Vec::new(),
            count: Count::default(),
        }
    }

    /// Plays one event, and all that `CloudFormation` does after it.
    pub fn play(&mut self, action: &Action) {
        match action {
            Action::Deploy { who, wish, back } => self.deploy(*who, wish, *back),
            Action::Delete { who, id } => self.delete(*who, *id),
            Action::Late { before } => self.late(*before),
            Action::Hand { database, change, extension } => {
                self.meddle(*database, *change, extension);
            }
        }
    }

    fn deploy(&mut self, who: usize, wish: &Wish, back: bool) {
        let key = |wish: &Wish| Key { who, place: wish.place };
        let Some(old) = self.resources[who].clone() else {
            if self.request(Kind::Create, key(wish), wish, None) {
                self.resources[who] = Some(wish.clone());
            }
            return;
        };
        if !self.request(Kind::Update, key(&old), wish, Some(&old)) {
            // Back, with the properties swapped; nothing was changed, so that may fail too.
            self.request(Kind::Update, key(&old), &old, Some(wish));
            return;
        }
        let (gone, stays) = if !back {
            (&old, wish)
        } else if self.request(Kind::Update, key(wish), &old, Some(wish)) {
            (wish, &old)
        } else {
            // The rollback failed and is skipped.
            self.resources[who] = Some(wish.clone());
            return;
        };
        self.resources[who] = Some(stays.clone());
        if gone.place != stays.place {
            // Whether it succeeds or not: what it leaves behind does not matter any more.
            self.request(Kind::Delete, key(gone), gone, None);
        }
    }

    fn delete(&mut self, who: usize, id: Id) {
        let Some(wish) = self.resources[who].clone() else { return };
        let key = Key { who, place: wish.place };
        let whose = match id {
            Id::Issued | Id::CreateFailed => Whose::This(key),
            Id::Invented | Id::CreateUnknown => Whose::AnyOf(who),
        };
        let request = Request { kind: Kind::Delete, whose, key, id, wish, old: None };
        if self.send(&request) && id != Id::CreateFailed {
            self.resources[who] = None;
        }
    }

    fn late(&mut self, before: usize) {
        let Some(update) = self.updates.iter().rev().nth(before).cloned() else { return };
        self.send(&update);
        self.count.late += 1;
    }

    fn request(&mut self, kind: Kind, key: Key, wish: &Wish, old: Option<&Wish>) -> bool {
        // An Update whose server is another one gets the id of that.
        let place = if kind == Kind::Delete { key.place } else { wish.place };
        let whose = Whose::This(Key { place, ..key });
        let (wish, old) = (wish.clone(), old.cloned());
        let request = Request { kind, whose, key, id: Id::Issued, wish, old };
        if kind == Kind::Update {
            self.updates.push(request.clone());
        }
        self.send(&request)
    }

    /// Sends a request, and compares what comes of it with what must.
    fn send(&mut self, request: &Request) -> bool {
        let mut expected = Some(self.oracle.clone());
        for (database, asked) in request.asked() {
            let after = self.oracle[database].after(request.whose, request.wish.policy, &asked);
            expected = expected.zip(after).map(|(mut oracle, after)| {
                oracle[database] = after;
                oracle
            });
        }
        let succeeded = self.world.request(request);
        let wrong = if succeeded { "should be refused" } else { "should succeed" };
        assert_eq!(succeeded, expected.is_some(), "{wrong}: {request:#?}\n{:#?}", self.oracle);
        if let Some(oracle) = expected {
            self.refuse_losses(request, &oracle);
            self.count(&oracle);
            for (database, asked) in request.asked() {
                let held = &self.oracle[database].extensions;
                let gone = asked.absent.iter().filter(|name| held.contains_key(*name));
                self.count.absent += gone.map(|_| 1).sum::<u64>();
            }
            self.oracle = oracle;
            self.count.succeeded += 1;
        } else {
            self.count.refused += 1;
        }
        self.compare(&format!("{request:#?}"));
        succeeded
    }

    /// An Update loses nothing of the user's but what depends on what its own properties let go,
    /// whatever the claims say.
    fn refuse_losses(&self, request: &Request, after: &Oracle) {
        for (database, Asked { listed, before, .. }) in request.asked() {
            let Some(before) = before else { continue };
            let required = before.iter().filter_map(|name| requirement(name));
            let let_go: BTreeSet<_> =
                before.iter().copied().chain(required).filter(|it| !listed.contains(it)).collect();
            let (held, after) = (&self.oracle[database], &after[database]);
            let may_go = held.along(&let_go);
            let lost: Vec<_> = held.used.difference(&after.used).collect();
            assert!(lost.iter().all(|name| may_go.contains(*name)), "{lost:?}: {request:#?}");
            assert!(after.rows || !held.rows || may_go.contains("keeper"), "{request:#?}");
        }
    }

    fn count(&mut self, after: &Oracle) {
        for (before, after) in self.oracle.iter().zip(after) {
            for (name, owner) in &before.extensions {
                match (owner, after.extensions.get(name)) {
                    (_, None) => self.count.dropped += 1,
                    (Some(owner), Some(Some(heir))) if owner != heir => self.count.inherited += 1,
                    _ => {}
                }
            }
        }
    }

    fn meddle(&mut self, database: usize, change: ManualChange, extension: &'static str) {
        if W::NEEDS_PLPGSQL && change == ManualChange::Drop && extension == "plpgsql" {
            return;
        }
        if change == ManualChange::Copy {
            // Of the other one on its server.
            let Some(other) = [1, 0].get(database) else { return };
            let Some(copy) = self.oracle[*other].copied() else { return };
            self.oracle[database] = copy;
        } else {
            let Some(after) = self.oracle[database].meddled(change, extension) else { return };
            self.oracle[database] = after;
        }
        self.world.meddle(database, change, extension);
        self.compare(&format!("{change:?} {extension} in {database}"));
    }

    fn compare(&mut self, after: &str) {
        for database in 0..DATABASES {
            let (held, expected) =
                (self.world.snapshot(database), self.oracle[database].snapshot());
            assert_eq!(held, expected, "what is there, and what must be, in {database}: {after}");
        }
    }
}
