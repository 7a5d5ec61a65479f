//! What is installed after a plan's steps, compared with the plan.
//!
//! A server may do something else than it was told: ignore a version, or have a trigger that updates
//! or drops.

use std::collections::{BTreeMap, BTreeSet};

use crate::planner::catalog::Catalog;
use crate::planner::desired::Desired;
use crate::planner::plan::Plan;
use crate::planner::step::Step;
use crate::problem::Problem;

/// An extension as it was read back: name, version, schema.
pub type Placed = (String, String, String);

/// Compares what is installed `after` the plan's steps with what the plan says. What it does not touch
/// is as it was; a schema that the map does not name may be another one; what came in besides is left alone.
pub fn differences(
    desired: &Desired,
    catalog: &Catalog,
    plan: &Plan,
    after: &[Placed],
) -> Vec<Problem> {
    let untouched = catalog.installed.iter();
    let mut planned: BTreeMap<&str, (&str, Option<&str>)> = untouched
        .map(|it| (it.name.as_str(), (it.version.as_str(), Some(it.schema.as_str()))))
        .collect();
    let asked = |name: &str| {
        // The very name; else another spelling of it, if that is no extension's own name.
        let is_own = |key: &str| after.iter().any(|(other, ..)| other == key);
        let alike = || {
            let mut entries = desired.extensions.iter();
            entries.find(|(key, _)| key.eq_ignore_ascii_case(name) && !is_own(key))
        };
        let entry = desired.extensions.get(name).or_else(|| alike().map(|(_, entry)| entry));
        entry.and_then(|entry| entry.schema.as_deref())
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
                let along = catalog.dependents.objects.iter();
                let along = along.filter_map(|dependent| dependent.extension.as_deref());
                dropped.extend(extensions.iter().map(|(name, _)| name.as_str()).chain(along));
                planned.retain(|name, _| !dropped.contains(name));
            }
            Step::CreateSchema { .. } | Step::Claims(_) => {}
        }
    }
    let mut problems = Vec::new();
    let mut differs = |name: &str, planned: &str, did: &str, remedy: &str| {
        problems.push(Problem::new(format!(
            "the plan says `{name}` {planned}, the server {did}: {remedy}"
        )));
    };
    for (name, (version, schema)) in &planned {
        match after.iter().find(|(other, ..)| other == name) {
            None => differs(name, version, "has none", "an event trigger may have dropped it"),
            Some((_, installed, _)) if installed != version => differs(
                name,
                version,
                &format!("installed {installed}"),
                "ask for the version that this server installs, `any` or `latest`",
            ),
            Some((_, _, place)) => {
                if let Some(schema) = schema.filter(|schema| schema != place) {
                    differs(
                        name,
                        &format!("in schema `{schema}`"),
                        &format!("has it in `{place}`"),
                        "ask for that one, or for none",
                    );
                }
            }
        }
    }
    let left = after.iter().map(|(name, ..)| name.as_str());
    for name in left.filter(|name| dropped.contains(name) && !planned.contains_key(name)) {
        differs(name, "dropped", "still has it", "an event trigger may have created it");
    }
    problems
}
