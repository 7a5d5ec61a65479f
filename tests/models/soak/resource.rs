//! A resource of a stack: what its events ask for, and what the database must hold then.

use std::collections::BTreeMap;

use fastrand::Rng;
use serde_json::{Value, json};

use crate::support::test_environment::{LOGICAL_ID, SECRET};

/// Extensions and their versions.
pub type Catalog = BTreeMap<String, String>;

/// The versions of an extension, oldest first: updates lead from each to all later ones.
const VERSIONS: [(&str, &[&str]); 4] = [
    ("hstore", &["1.4", "1.5", "1.6", "1.7"]),
    ("citext", &["1.4", "1.5", "1.6"]),
    ("cube", &["1.3", "1.4", "1.5"]),
    ("earthdistance", &["1.1"]),
];

/// The resource of one stack.
pub struct Resource {
    stack: String,
    id: Option<String>,
    last: Option<Value>,
}

impl Resource {
    /// A resource that is not there yet.
    pub fn of(stack: &str) -> Self {
        Self { stack: stack.to_owned(), id: None, last: None }
    }

    /// The next event: mostly a new wish, now and then the last event again, or a Delete.
    pub fn next_event(&mut self, rng: &mut Rng, url: &str) -> Value {
        let mut event = match (rng.u32(..16), &self.id, &self.last) {
            (0 | 1, _, Some(last)) => last.clone(),
            (2, Some(id), _) => self.event("Delete", Some(id), &json!({})),
            (_, None, _) => self.event("Create", None, &wish(rng)),
            (_, Some(id), _) => self.event("Update", Some(id), &wish(rng)),
        };
        event["ResponseURL"] = json!(url);
        self.last = Some(event.clone());
        event
    }

    fn event(&self, kind: &str, id: Option<&str>, map: &Value) -> Value {
        let mut event = json!({
            "RequestType": kind,
            "StackId": format!("arn:aws:cloudformation:eu-west-1:123456789012:stack/{}/0", self.stack),
            "RequestId": "5f6a1c9e-0000-4000-8000-00000000c0de",
            "LogicalResourceId": LOGICAL_ID,
            "ResourceType": "Custom::PostgresExtensions",
            "ResourceProperties": { "DBSecret": SECRET, "PluginsMap": map },
        });
        if let Some(id) = id {
            event["PhysicalResourceId"] = json!(id);
        }
        event
    }

    /// Takes a response as `CloudFormation` does.
    pub fn answered(&mut self, event: &Value, document: &Value) {
        let succeeded = document["Status"] == "SUCCESS";
        let id = document["PhysicalResourceId"].as_str().map(ToOwned::to_owned);
        self.id = match event["RequestType"].as_str() {
            Some("Delete") if succeeded => None,
            Some("Create") if !succeeded => None,
            _ => id,
        };
    }
}

/// A `PluginsMap`.
fn wish(rng: &mut Rng) -> Value {
    let mut map = json!({});
    for (name, versions) in VERSIONS {
        if rng.bool() {
            map[name] = json!(versions[rng.usize(..versions.len())]);
        }
    }
    if rng.u32(..20) == 0 {
        map["no_such_extension"] = json!("1.0");
    }
    map
}

/// What the database must hold after an event that succeeds; `None` if it cannot.
pub fn expected(event: &Value, before: &Catalog) -> Option<Catalog> {
    let mut after = before.clone();
    if event["RequestType"] == "Delete" {
        return Some(after);
    }
    let map = event["ResourceProperties"]["PluginsMap"].as_object().expect("a map");
    for (name, version) in map {
        let version = version.as_str().expect("a version").to_owned();
        let (_, versions) = VERSIONS.iter().find(|(known, _)| known == name)?;
        let rank = |version: &str| versions.iter().position(|known| *known == version);
        if before.get(name).is_some_and(|installed| rank(installed) > rank(&version)) {
            return None;
        }
        after.insert(name.clone(), version);
    }
    if map.contains_key("earthdistance") && !after.contains_key("cube") {
        after.insert("cube".to_owned(), "1.5".to_owned());
    }
    Some(after)
}
