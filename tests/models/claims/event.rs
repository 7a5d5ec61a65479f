//! What can happen: requests of several resources, and changes by hand.

use std::collections::BTreeSet;

use cfn_postgres_extensions::planner::desired::RemovalPolicy;
use proptest::prelude::*;

/// Every extension; `keeper` has a configuration table.
pub const NAMES: [&str; 6] = ["citext", "cube", "earthdistance", "hstore", "keeper", "plpgsql"];

/// The databases of each place. The first two places are one server under two names.
pub const PLACES: [&[usize]; 3] = [&[0, 1], &[0, 1], &[2]];

/// How many databases there are.
pub const DATABASES: usize = 3;

/// How many resources there are: two in each of two stacks.
pub const RESOURCES: usize = 4;

/// What an extension requires.
pub fn requirement(name: &str) -> Option<&'static str> {
    (name == "earthdistance").then_some("cube")
}

/// One thing that happens.
#[derive(Debug, Clone)]
pub enum Action {
    /// A resource is created, or has a new template: it is created if it is not there.
    Deploy {
        /// Which.
        who: usize,
        /// Its template.
        wish: Wish,
        /// Another resource failed after a replacement: back.
        back: bool,
    },
    /// A resource is deleted.
    Delete {
        /// Which.
        who: usize,
        /// With which id.
        id: Id,
    },
    /// An Update of long ago comes once more.
    Late {
        /// Which: so many before the last one.
        before: usize,
    },
    /// Somebody does something by hand.
    Hand {
        /// In which database.
        database: usize,
        /// What.
        change: ManualChange,
        /// With which extension, where that matters.
        extension: &'static str,
    },
}

/// A template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// Which server, under which name.
    pub place: usize,
    /// Which of its databases.
    pub databases: BTreeSet<usize>,
    /// `RemovalPolicy`.
    pub policy: RemovalPolicy,
    /// The keys of `PluginsMap` that list an extension.
    pub map: BTreeSet<&'static str>,
    /// Those whose version is `absent`.
    pub absent: BTreeSet<&'static str>,
}

/// The id of a Delete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Id {
    /// The resource's.
    Issued,
    /// One that the function never issued.
    Invented,
    /// That of a Create with an unknown outcome.
    CreateUnknown,
    /// That of a Create that left nothing behind.
    CreateFailed,
}

/// What people do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ManualChange {
    /// Create it, with what it requires.
    Create,
    /// Drop it, with all that depends on it.
    Drop,
    /// Drop it, and create it again.
    Recreate,
    /// Make a table's column of a type of its.
    Use,
    /// Drop that column.
    LetGo,
    /// Write a row into `keeper`'s table.
    Write,
    /// Delete that row.
    Erase,
    /// Let a member of `citext` use a type of `hstore`'s, which no control file says.
    Link,
    /// Dump the database, drop it, and restore it under the same name.
    Restore,
    /// Replace the database with a copy of the other one on its server.
    Copy,
    /// Make an object in the schema of the claims.
    Clutter,
}

impl Wish {
    /// The map, and all that it requires.
    pub fn listed(&self) -> BTreeSet<&'static str> {
        let required = self.map.iter().filter_map(|name| requirement(name));
        self.map.iter().copied().chain(required).collect()
    }
}

fn a_wish() -> impl Strategy<Value = Wish> {
    use RemovalPolicy::{Drop, DropCascade, Retain};
    let policy = prop_oneof![1 => Just(Retain), 4 => Just(Drop), 3 => Just(DropCascade)];
    let place = prop_oneof![6 => Just(0), 1 => Just(1), 1 => Just(2)];
    let some = prop_oneof![3 => Just(vec![0]), 1 => Just(vec![1]), 2 => Just(vec![0, 1])];
    let map = prop::collection::btree_set(prop::sample::select(&NAMES[..]), 0..4);
    let one = prop::sample::select(&NAMES[..]);
    let absent = prop_oneof![
        3 => Just(BTreeSet::new()),
        2 => prop::collection::btree_set(one, 1..3),
    ];
    (place, some, policy, map, absent).prop_map(|(place, some, policy, map, absent)| {
        let databases = if place == 2 { [2].into() } else { some.into_iter().collect() };
        let absent = absent.difference(&map).copied().collect();
        Wish { place, databases, policy, map, absent }
    })
}

/// Anything that can happen.
pub fn any_action() -> impl Strategy<Value = Action> {
    use ManualChange::{
        Clutter, Copy, Create, Drop, Erase, LetGo, Link, Recreate, Restore, Use, Write,
    };
    let who = || 0..RESOURCES;
    let id = prop_oneof![
        6 => Just(Id::Issued),
        1 => Just(Id::Invented),
        1 => Just(Id::CreateUnknown),
        1 => Just(Id::CreateFailed),
    ];
    let change = prop_oneof![
        4 => Just(Create), 2 => Just(Drop), 3 => Just(Recreate), 4 => Just(Use), 2 => Just(LetGo),
        3 => Just(Write), 1 => Just(Erase), 2 => Just(Link), 2 => Just(Restore), 1 => Just(Copy),
        1 => Just(Clutter),
    ];
    let database = prop_oneof![5 => Just(0), 2 => Just(1), 1 => Just(2)];
    prop_oneof![
        6 => (who(), a_wish(), prop::bool::weighted(0.2))
            .prop_map(|(who, wish, back)| Action::Deploy { who, wish, back }),
        3 => (who(), id).prop_map(|(who, id)| Action::Delete { who, id }),
        3 => (0..6_usize).prop_map(|before| Action::Late { before }),
        4 => (database, change, prop::sample::select(&NAMES[..]))
            .prop_map(|(database, change, extension)| Action::Hand { database, change, extension }),
    ]
}
