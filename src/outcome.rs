//! What is installed after a plan's steps, compared with the plan: pure.
//!
//! A server may do something else than it was told: ignore a version, or have a trigger that updates
//! or drops.

use std::collections::{BTreeMap, BTreeSet};

use crate::observed::Observed;
use crate::plan::Plan;
use crate::request::Wanted;
use crate::step::Step;

/// An extension as it was read back: name, version, schema.
pub type Placed = (String, String, String);

/// What the server did otherwise. Displays as a sentence.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Difference {
    /// Another version.
    #[error(
        "the plan says `{name}` {planned}, the server installed {installed}: ask for the version \
         that this server installs, `any` or `latest`"
    )]
    Version {
        /// The extension.
        name: String,
        /// The version of the plan.
        planned: String,
        /// The version that is there.
        installed: String,
    },
    /// Another schema.
    #[error(
        "the plan says `{name}` in schema `{planned}`, the server has it in `{installed}`: ask for \
         that one, or for none"
    )]
    Schema {
        /// The extension.
        name: String,
        /// The schema of the plan.
        planned: String,
        /// The schema that it is in.
        installed: String,
    },
    /// It is not there.
    #[error(
        "the plan says `{name}` {planned}, the server has none: an event trigger may have dropped it"
    )]
    Missing {
        /// The extension.
        name: String,
        /// The version of the plan.
        planned: String,
    },
    /// It is still there.
    #[error(
        "the plan drops `{name}`, the server still has it: an event trigger may have created it"
    )]
    NotDropped {
        /// The extension.
        name: String,
    },
}

/// Compares what is installed `after` the plan's steps with what the plan says. What it does not touch
/// is as it was; a schema that nobody asked for may be another one; what came in besides is let be.
pub fn differences(
    wanted: &Wanted,
    observed: &Observed,
    plan: &Plan,
    after: &[Placed],
) -> Vec<Difference> {
    let untouched = observed.installed.iter();
    let mut planned: BTreeMap<&str, (&str, Option<&str>)> = untouched
        .map(|it| (it.name.as_str(), (it.version.as_str(), Some(it.schema.as_str()))))
        .collect();
    let asked = |name: &str| {
        let mut entries = wanted.extensions.iter();
        let entry = entries.find(|(key, _)| key.eq_ignore_ascii_case(name));
        entry.and_then(|(_, entry)| entry.schema.as_deref())
    };
    let mut dropped = BTreeSet::new();
    for step in &plan.steps {
        match step {
            Step::Create { name, version, .. } | Step::Update { name, to: version, .. } => {
                planned.insert(name, (version, asked(name)));
            }
            Step::Move { name, to } => {
                planned.entry(name).and_modify(|(_, schema)| *schema = Some(to));
            }
            Step::Drop { extensions, .. } => {
                let along = observed.obstacles.dependents.iter();
                let along = along.filter_map(|dependent| dependent.extension.as_deref());
                dropped.extend(extensions.iter().map(|(name, _)| name.as_str()).chain(along));
                planned.retain(|name, _| !dropped.contains(name));
            }
            Step::CreateSchema { .. } | Step::Note(_) => {}
        }
    }
    let mut differences = Vec::new();
    for (name, (version, schema)) in &planned {
        let name = (*name).to_owned();
        let Some((_, installed, place)) = after.iter().find(|(other, ..)| *other == name) else {
            differences.push(Difference::Missing { name, planned: (*version).to_owned() });
            continue;
        };
        if installed != version {
            differences.push(Difference::Version {
                name,
                planned: (*version).to_owned(),
                installed: installed.clone(),
            });
        } else if let Some(schema) = schema.filter(|schema| schema != place) {
            differences.push(Difference::Schema {
                name,
                planned: schema.to_owned(),
                installed: place.clone(),
            });
        }
    }
    let left = after.iter().filter(|(name, ..)| dropped.contains(name.as_str()));
    let left = left.filter(|(name, ..)| !planned.contains_key(name.as_str()));
    differences.extend(left.map(|(name, ..)| Difference::NotDropped { name: name.clone() }));
    differences
}
