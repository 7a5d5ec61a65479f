//! One history: what is known of the world so far, and the checks after each event.

use std::collections::BTreeMap;

use fastrand::Rng;

use super::catalog::{Catalog, EXTENSIONS};
use super::delivery::Author;
use super::event::{Event, Kind, LOGICAL_ID};
use super::oracle::{Success, predict};
use super::template::Template;
use super::world::{PLACES, Place, World};
use crate::support::answer::Answer;

/// A history that is being made.
pub struct History<'a> {
    /// Where it takes place.
    pub world: &'a World,
    /// All its chances.
    pub rng: Rng,
    /// Every event so far: any of them may come again.
    pub sent: Vec<Event>,
    /// What happened so far, for whoever has to find out what went wrong.
    pub trace: Vec<String>,
    catalogs: BTreeMap<Place, Catalog>,
    /// The template of the last event that succeeded, while nobody else changes anything.
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

    /// Checks one answer, and what the database holds now.
    pub fn check(&mut self, event: &Event, answer: &Answer, author: Author) {
        check_secrecy(answer);
        if author == Author::Responder {
            let id = if event.kind == Kind::Create {
                format!("{LOGICAL_ID}-create-unknown")
            } else {
                event.id.clone()
            };
            assert_eq!((answer.status.as_str(), &answer.id), ("FAILED", &id));
            return;
        }
        if event.kind == Kind::Delete {
            assert_eq!(answer.status, "SUCCESS", "a Delete never fails: {answer:#?}");
            assert_eq!(answer.id, event.id, "a Delete keeps the id");
            self.check_nothing_changed(event);
            return;
        }
        let place = event.template.place;
        let before = self.catalogs[&place].clone();
        let after = self.world.catalog(place);
        if let Some(expected) = predict(&event.template, &before) {
            assert_eq!(answer.status, "SUCCESS", "{before:?}: {answer:#?}");
            assert_eq!(answer.id, self.id_after(event));
            check_data(&expected, expected.after != before, answer);
            if event.template.dry_run {
                assert_eq!(after, before, "a rehearsal changes nothing");
            } else {
                assert_eq!(after, expected.after, "{before:?}: {answer:#?}");
                self.asked = Some(event.template.clone());
            }
        } else {
            assert_eq!(answer.status, "FAILED", "{before:?}: {answer:#?}");
            assert_eq!(after, before, "what fails changes nothing");
            let id = match event.kind {
                Kind::Create => format!("{LOGICAL_ID}-create-failed"),
                _ => event.id.clone(),
            };
            assert_eq!(answer.id, id, "an Update that fails keeps the id: it sticks");
        }
        self.catalogs.insert(place, after);
    }

    fn id_after(&self, event: &Event) -> String {
        let issued = self.world.issued(event.template.place.server);
        let ours = self.world.is_issued(&event.id);
        if event.kind == Kind::Create || ours { issued.to_owned() } else { event.id.clone() }
    }

    /// The database of an event whose function never ran is as it was.
    pub fn check_nothing_changed(&self, event: &Event) {
        let place = event.template.place;
        assert_eq!(self.world.catalog(place), self.catalogs[&place], "something was changed");
    }

    /// The database of an event whose function was killed is as it was, or all of it is done.
    pub fn check_all_or_nothing(&mut self, event: &Event) {
        let place = event.template.place;
        let (before, after) = (&self.catalogs[&place], self.world.catalog(place));
        if after != *before {
            let expected = predict(&event.template, before).map(|success| success.after);
            let may = event.kind != Kind::Delete && !event.template.dry_run;
            assert_eq!(Some(&after), expected.as_ref().filter(|_| may), "half of it was done");
            self.note("  it was committed".to_owned());
            self.catalogs.insert(place, after);
            self.asked = None;
        }
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

fn check_secrecy(answer: &Answer) {
    let text = answer.document.to_string();
    for secret in ["simulated", "X-Amz-Signature"] {
        assert!(!text.contains(secret), "{secret} was told: {text}");
    }
}

fn check_data(expected: &Success, changes: bool, answer: &Answer) {
    assert_eq!(answer.data["Changed"], changes.to_string(), "{answer:#?}");
    assert_eq!(
        answer.data["Changes"] == "none",
        !changes && !answer.data["Changes"].contains("kept"),
        "{answer:#?}"
    );
    let mut after = vec!["plpgsql 1.0".to_owned()];
    for (name, installed) in &expected.after.extensions {
        after.push(format!("{name} {}", installed.version));
    }
    after.sort();
    assert_eq!(answer.data["After"], after.join(", "));
    for name in &expected.names {
        assert_eq!(answer.data[*name], expected.after.extensions[*name].version);
    }
}
