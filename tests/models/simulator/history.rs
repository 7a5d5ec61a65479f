//! One history: what is known of the world so far, and the checks after each event.

use std::collections::{BTreeMap, BTreeSet};

use fastrand::Rng;

use super::catalog::{Catalog, EXTENSIONS};
use super::delivery::Author;
use super::event::{Event, Kind, LOGICAL_ID};
use super::oracle::{Success, predict};
use super::removal::{Asker, named, required, with_dependents};
use super::template::{Flaw, Policy, Template};
use super::world::{PLACES, Place, World};
use crate::support::response::Response;

/// What must come of an event.
#[derive(Debug, Clone, Default)]
pub struct Expected {
    /// SUCCESS.
    pub succeeds: bool,
    /// Anything but claims is changed.
    pub changes: bool,
    /// The databases that it is about, where it changes anything, as they are afterwards.
    pub after: BTreeMap<Place, Catalog>,
    /// What `Data` tells.
    pub success: Option<Success>,
}

/// A history that is being made.
pub struct History<'a> {
    /// Where it takes place.
    pub world: &'a World,
    /// All its chances.
    pub rng: Rng,
    /// Every event so far: any of them may come again.
    pub sent: Vec<Event>,
    /// What happened so far, for the message of a failure.
    pub trace: Vec<String>,
    /// How many events came late.
    pub late: u64,
    /// How many columns with rows of the user's went, as the contract has it.
    pub gone: u64,
    /// Every secret is gone.
    pub secrets_gone: bool,
    catalogs: BTreeMap<Place, Catalog>,
    /// The template of the last event that succeeded, while nothing else changes anything.
    asked: Option<Template>,
    request_ids: u32,
}

impl<'a> History<'a> {
    /// A new history in an empty world.
    pub fn new(world: &'a World, seed: u64) -> Self {
        Self {
            world,
            rng: Rng::with_seed(seed),
            sent: Vec::new(),
            trace: Vec::new(),
            late: 0,
            gone: 0,
            secrets_gone: false,
            catalogs: PLACES.into_iter().map(|place| (place, Catalog::default())).collect(),
            asked: None,
            request_ids: 0,
        }
    }

    /// Whether something happens that happens so many times of a hundred.
    pub fn chance(&mut self, percent: u8) -> bool {
        self.rng.u8(..100) < percent
    }

    /// Remembers what happened.
    pub fn note(&mut self, line: String) {
        self.trace.push(line);
    }

    /// A new request's id.
    pub fn request_id(&mut self) -> String {
        self.request_ids += 1;
        format!("5f6a1c9e-0000-4000-8000-{:012}", self.request_ids)
    }

    /// Somebody changes a database by hand.
    pub fn meddle(&mut self, place: Place) {
        let extension = &EXTENSIONS[self.rng.usize(..EXTENSIONS.len() - 2)];
        let name = extension.name;
        let statement = if self.catalogs[&place].extensions.contains_key(name) {
            format!("DROP EXTENSION \"{name}\" CASCADE")
        } else {
            format!("CREATE EXTENSION \"{name}\" CASCADE")
        };
        self.note(format!("by hand in {place:?}: {statement}"));
        self.world.database(place).query(&statement);
        self.catalogs.insert(place, self.world.catalog(place));
        self.asked = None;
    }

    /// Somebody makes a column of an extension's type, with a row in it.
    pub fn use_something(&mut self, place: Place) {
        let catalog = &self.catalogs[&place];
        let unused = catalog.extensions.iter().filter(|(name, _)| !catalog.used.contains(*name));
        let unused: Vec<_> = unused.map(|(name, it)| (name.clone(), it.schema.clone())).collect();
        let Some((name, schema)) = self.rng.choice(unused) else { return };
        self.note(format!("by hand in {place:?}: a column of {name}'s type"));
        self.world.database(place).query(&format!(
            "SET client_min_messages = error;
             CREATE TABLE IF NOT EXISTS public.\"use_{name}\" (id int);
             ALTER TABLE public.\"use_{name}\" ADD COLUMN it \"{schema}\".\"{name}_type\";
             INSERT INTO public.\"use_{name}\" (it) VALUES (ROW (1))"
        ));
        self.catalogs.insert(place, self.world.catalog(place));
    }

    /// What must come of an event.
    pub fn expected(&self, event: &Event) -> Expected {
        let Template { place, policy, flaw, dry_run, .. } = event.template;
        let mut expected = Expected { succeeds: true, ..Expected::default() };
        let id = if event.kind == Kind::Delete { event.id.clone() } else { self.id_after(event) };
        let asker = Asker {
            policy,
            // A Delete with an id that is none of ours is about all of the resource's claims.
            id: Some(id.as_str())
                .filter(|id| event.kind != Kind::Delete || self.world.is_issued(id)),
            old: event.old.as_ref().filter(|_| id == event.id),
            deletes: event.kind == Kind::Delete,
        };
        let leave = |place: Place| {
            let mut after = self.catalogs[&place].clone();
            asker.settle(&self.catalogs[&place], &mut after, &BTreeSet::new()).map(|()| after)
        };
        if event.kind == Kind::Delete {
            let gone = matches!(flaw, Some(Flaw::NoSuchSecret | Flaw::NoSuchDatabase));
            let untouched = policy == Policy::Retain || flaw == Some(Flaw::Ancient) || dry_run;
            if untouched || gone || self.secrets_gone || event.id.ends_with("-create-failed") {
                return expected;
            }
            let after = leave(place).filter(|_| flaw != Some(Flaw::WrongPassword));
            expected.succeeds = after.is_some();
            expected.after.extend(after.map(|after| (place, after)));
            return expected;
        }
        let left = Self::left(event, asker.old);
        let plans = predict(&event.template, &asker, &self.catalogs[&place])
            .zip(left.map_or(Some(None), |place| leave(place).map(|after| Some((place, after)))));
        let Some((success, left)) = plans else { return Expected::default() };
        expected.succeeds = !success.broken;
        if !dry_run {
            // The two are under way at the same time.
            expected.after.extend(left.clone());
            if !success.broken {
                expected.after.insert(place, success.after.clone());
            }
        }
        let changes = |(place, after): (&Place, &Catalog)| {
            let before = Catalog { claims: after.claims.clone(), ..self.catalogs[place].clone() };
            before != *after
        };
        expected.changes = changes((&place, &success.after))
            || left.as_ref().is_some_and(|(place, after)| changes((place, after)));
        expected.success = Some(success);
        expected
    }

    /// The database that an Update leaves, where there may be claims.
    fn left(event: &Event, old: Option<&Template>) -> Option<Place> {
        let old = old.filter(|old| {
            !matches!(old.flaw, Some(Flaw::Ancient | Flaw::NoSuchDatabase))
                && old.place != event.template.place
                && [old.policy, event.template.policy].iter().any(|it| *it != Policy::Retain)
        });
        old.map(|old| old.place)
    }

    /// Checks one response, and what the databases hold now.
    pub fn check(&mut self, event: &Event, response: &Response, author: Author) {
        check_secrecy(response);
        if author == Author::Responder {
            let id = if event.kind == Kind::Create {
                format!("{LOGICAL_ID}-create-unknown")
            } else {
                event.id.clone()
            };
            assert_eq!((response.status.as_str(), &response.id), ("FAILED", &id));
            return;
        }
        let expected = self.expected(event);
        self.check_answer(event, response, &expected);
        for place in event.places() {
            let after = self.world.catalog(place);
            let must = expected.after.get(&place).unwrap_or(&self.catalogs[&place]);
            assert_eq!(after, *must, "{:?}: {response:#?}", self.catalogs[&place]);
            self.learn(event, place, after);
        }
    }

    /// Checks what a response says.
    pub fn check_answer(&mut self, event: &Event, response: &Response, expected: &Expected) {
        let status = if expected.succeeds { "SUCCESS" } else { "FAILED" };
        assert_eq!(response.status, status, "{:?}: {response:#?}", self.catalogs);
        let id = match event.kind {
            Kind::Delete => event.id.clone(),
            _ if expected.succeeds => self.id_after(event),
            Kind::Create => format!("{LOGICAL_ID}-create-failed"),
            // It sticks.
            Kind::Update => event.id.clone(),
        };
        assert_eq!(response.id, id, "{response:#?}");
        if event.kind == Kind::Delete || !expected.succeeds {
            return;
        }
        if let Some(success) = &expected.success {
            check_data(success, expected.changes, response);
        }
        if !event.template.dry_run {
            self.asked = Some(event.template.clone());
        }
    }

    fn id_after(&self, event: &Event) -> String {
        let issued = self.world.issued(event.template.place.server);
        let ours = self.world.is_issued(&event.id);
        if event.kind == Kind::Create || ours { issued.to_owned() } else { event.id.clone() }
    }

    /// Takes note of what an event has made of a database.
    pub fn learn(&mut self, event: &Event, place: Place, after: Catalog) {
        let lost: Vec<_> = self.catalogs[&place].used.difference(&after.used).collect();
        let may_go = may_go(event, place);
        let kept = lost.iter().all(|name| may_go.contains(name.as_str()));
        assert!(kept, "rows are lost in {place:?}: {lost:?}, and only {may_go:?} may go");
        let (count, words) = (lost.len(), format!("  rows of {lost:?} went in {place:?}"));
        if count > 0 {
            self.gone += u64::try_from(count).expect("a few");
            self.note(words);
        }
        if self.catalogs[&place] != after && event.kind == Kind::Delete {
            self.asked = None;
        }
        self.catalogs.insert(place, after);
    }

    /// The databases of an event whose function never ran are as they were.
    pub fn check_nothing_changed(&self, event: &Event) {
        for place in event.places() {
            assert_eq!(self.world.catalog(place), self.catalogs[&place], "something was changed");
        }
    }

    /// Each database of an event whose function was killed is as it was, or all of it is done.
    pub fn check_all_or_nothing(&mut self, event: &Event) {
        let expected = self.expected(event);
        for place in event.places() {
            let after = self.world.catalog(place);
            if after != self.catalogs[&place] {
                assert_eq!(Some(&after), expected.after.get(&place), "half of it was done");
                self.note("  it was committed".to_owned());
                self.learn(event, place, after);
                self.asked = None;
            }
        }
    }

    /// Checks the responses to an event and to a Delete that came while it ran: the Delete came first,
    /// or it waited.
    pub fn check_with_delete(&mut self, event: &Event, responses: [&Response; 2], delete: &Event) {
        let expected = self.expected(event);
        self.check_answer(event, responses[0], &expected);
        let place = event.template.place;
        let after = self.world.catalog(place);
        self.check_answer(delete, responses[1], &self.expected(delete));
        let made = expected.after.get(&place).unwrap_or(&self.catalogs[&place]).clone();
        if after != made {
            self.learn(event, place, made);
            let deleted = self.expected(delete);
            assert_eq!(Some(&after), deleted.after.get(&place), "{responses:#?}");
            self.note("  it was deleted".to_owned());
        }
        self.learn(delete, place, after);
    }

    /// After each step, what the last successful event asked for is there.
    pub fn check_asked(&self) {
        let Some(template) = &self.asked else { return };
        let catalog = self.world.catalog(template.place);
        for (key, wish) in &template.map {
            let alike =
                || catalog.extensions.iter().find(|(name, _)| name.eq_ignore_ascii_case(key));
            let found = catalog.extensions.get_key_value(key).or_else(alike);
            let (name, installed) = found.unwrap_or_else(|| panic!("{key} is not there"));
            let version = installed.version.as_str();
            let asked = wish.version.as_str();
            let fits = match asked.strip_suffix('*') {
                Some(start) => version.starts_with(start),
                None => ["", "any", "latest"].contains(&asked) || version == asked,
            };
            assert!(fits || template.keep, "{name} is at {version}, and {asked} was asked for");
        }
    }

    /// Nobody is asked for anything any more: what comes now is an event of the past.
    pub fn forget_what_was_asked(&mut self) {
        self.asked = None;
    }

    /// At the end, every database is as the events left it: those that no event was about, too.
    pub fn check_all_databases(&mut self) {
        if !self.chance(20) {
            return;
        }
        for (place, catalog) in &self.catalogs {
            assert_eq!(self.world.catalog(*place), *catalog, "{place:?}");
        }
    }

    /// What the databases hold in the end.
    pub fn catalogs(&self) -> &BTreeMap<Place, Catalog> {
        &self.catalogs
    }
}

fn check_secrecy(response: &Response) {
    let text = response.document.to_string();
    for secret in ["simulated", "X-Amz-Signature"] {
        assert!(!text.contains(secret), "{secret} was told: {text}");
    }
}

/// The extensions whose users an event may take the rows of, whatever is claimed: under
/// `DropCascade`, those that depend on what the event itself lets go.
fn may_go(event: &Event, place: Place) -> BTreeSet<&'static str> {
    let Template { policy, place: stays, .. } = event.template;
    if policy != Policy::DropCascade || event.kind == Kind::Create {
        return BTreeSet::new();
    }
    if event.kind == Kind::Delete {
        return EXTENSIONS.iter().map(|it| it.name).collect();
    }
    let mut goes = event.old.iter().flat_map(|old| required(named(old))).collect::<BTreeSet<_>>();
    if place == stays {
        let listed = required(named(&event.template));
        goes.retain(|name| !listed.contains(name));
    }
    with_dependents(&goes)
}

fn check_data(expected: &Success, changes: bool, response: &Response) {
    assert_eq!(response.data["Changed"], changes.to_string(), "{response:#?}");
    let told = &response.data["Changes"];
    let idle = !changes && !["kept", "unclaimed"].iter().any(|word| told.contains(word));
    assert_eq!(told == "none", idle, "{response:#?}");
    let mut after = vec!["plpgsql 1.0".to_owned()];
    for (name, installed) in &expected.after.extensions {
        after.push(format!("{name} {}", installed.version));
    }
    after.sort();
    assert_eq!(response.data["After"], after.join(", "));
    for name in &expected.names {
        assert_eq!(response.data[*name], expected.after.extensions[*name].version);
    }
}
