//! What must change, from the desired state and the catalog.
//!
//! Only names and versions that the server itself listed get from here into a statement.

use std::collections::BTreeSet;

use crate::planner::catalog::Catalog;
use crate::planner::desired::{Desired, DesiredExtension, DesiredVersion};
use crate::planner::entries::unnamed;
use crate::planner::removal::decide;
use crate::planner::step::Step;
use crate::planner::steps::Planner;
use crate::planner::{refusal, scripts};
use crate::problem::Problem;

/// Everything to be done in one database, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// The statements.
    pub steps: Vec<Step>,
    /// What was asked for and is left alone, in words for `Changes`.
    pub kept: Vec<String>,
    /// The extensions of the map, as the server spells them.
    pub names: BTreeSet<String>,
}

/// Decides what must change.
///
/// # Errors
/// Every problem of the whole map.
pub fn plan(desired: &Desired, catalog: &Catalog) -> Result<Plan, Vec<Problem>> {
    let mut planner = Planner::plan(desired, catalog);
    planner.problems.extend(scripts::problems(&planner.steps, catalog));
    planner.kept.extend(scripts::warning(&planner.steps, catalog));
    let removal = decide::removal(desired, catalog, planner.listed());
    // First: what is created may have the same objects, and CASCADE must not take it along.
    let steps = &mut planner.steps;
    steps.splice(0..0, removal.drop);
    steps.extend(removal.changes.into_iter().map(Step::Claims));
    let is_written = !steps.is_empty();
    planner.kept.extend(removal.kept);
    planner.problems.extend(removal.problems);
    if catalog.read_only && is_written {
        planner.problems.push(refusal::read_only(&catalog.database));
    }
    let Planner { steps, kept, problems, entries, gone, .. } = planner;
    let mut plan = Plan { steps, kept, names: BTreeSet::new() };
    plan.names = entries.keys().map(ToString::to_string).collect();
    if desired.unnamed.is_some() {
        // What comes in as a requirement is installed, too, when the event is delivered again.
        let created = plan.steps.iter().filter_map(|step| match step {
            Step::Create { name, .. } => Some(name.clone()),
            _ => None,
        });
        let unnamed = unnamed(desired, &entries, catalog).into_iter().map(|it| &it.name);
        let unnamed = unnamed.filter(|name| !gone.contains(name.as_str()));
        plan.names.extend(created.chain(unnamed.cloned()));
    }
    // What is dropped and not offered is unknown when the event is delivered again.
    let is_absent = |(_, entry): &(_, &DesiredExtension)| entry.version == DesiredVersion::Absent;
    let absent = desired.extensions.iter().filter(is_absent).map(|(key, _)| key);
    for key in absent {
        let alike = catalog.alike(key);
        if !alike.iter().any(|name| catalog.available.contains_key(*name)) {
            plan.names.retain(|name| !alike.contains(&name.as_str()));
            plan.names.insert(key.clone());
        }
    }
    if problems.is_empty() { Ok(plan) } else { Err(problems) }
}

/// The names of what would be dropped: what depends on them is read before the plan is made.
pub fn to_drop<'a>(desired: &'a Desired, catalog: &'a Catalog) -> Vec<&'a str> {
    decide::to_drop(desired, catalog, Planner::plan(desired, catalog).listed())
}
