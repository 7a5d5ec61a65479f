//! What there is, and how it differs from the desired state.

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;

use crate::planner::catalog::{Catalog, Installed};
use crate::planner::desired::{Desired, DesiredExtension, DesiredVersion, DowngradePolicy};
use crate::planner::entries::{Entries, resolve};
use crate::planner::plan;
use crate::planner::removal::ownership::Claimant;
use crate::planner::step::Step;
use crate::planner::steps::Planner;
use crate::planner::version::{self, VersionChange};
use crate::planner::version_order::rank;
use crate::problem::Problem;

/// One extension of a database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Inspected {
    /// As the server spells it.
    pub name: String,
    /// The installed version; `None` where it is missing.
    pub installed: Option<String>,
    /// The server's default version; `None` where the server does not offer the extension any more.
    pub default: Option<String>,
    /// Whether the default is another version, and can be reached.
    pub update_available: bool,
    /// The versions that an update path leads to, the highest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reachable: Vec<String>,
    /// The schema of its objects.
    pub schema: Option<String>,
    /// The role that owns it.
    pub owner: Option<String>,
    /// The resource that created it, where claims tell.
    pub created_by: Option<CreatedBy>,
    /// The version that the map asks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wanted: Option<String>,
    /// How it differs from the map, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
}

/// `hstore 1.4 (other version, wanted 1.7, 1.8 is available)`.
impl fmt::Display for Inspected {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut remarks = Vec::new();
        if let Some(state) =
            self.state.filter(|it| !matches!(it, State::AsWanted | State::NotListed))
        {
            remarks.push(state.to_string());
            remarks.extend(self.wanted.iter().map(|wanted| format!("wanted {wanted}")));
        }
        if let Some(default) = self.default.as_ref().filter(|_| self.update_available) {
            remarks.push(format!("{default} is available"));
        }
        formatter.write_str(&self.name)?;
        if let Some(installed) = &self.installed {
            write!(formatter, " {installed}")?;
        }
        if !remarks.is_empty() {
            write!(formatter, " ({})", remarks.join(", "))?;
        }
        Ok(())
    }
}

/// The resource that created an extension.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct CreatedBy {
    stack_id: String,
    logical_resource_id: String,
}

/// How an extension differs from the map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Not at all.
    #[serde(rename = "as wanted")]
    AsWanted,
    /// It is not installed.
    Missing,
    /// It has another version.
    #[serde(rename = "other version")]
    OtherVersion,
    /// It has the version, and is in another schema.
    #[serde(rename = "other schema")]
    OtherSchema,
    /// It is installed, and wanted `absent`.
    Unwanted,
    /// The map does not name it.
    #[serde(rename = "not listed")]
    NotListed,
}

impl fmt::Display for State {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(formatter)
    }
}

/// A database beside the desired state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    /// Every extension that is installed or asked for, sorted by name.
    pub extensions: Vec<Inspected>,
    /// What an Update would do, or why it would be refused.
    pub plan: Result<Vec<Step>, Vec<Problem>>,
}

impl Comparison {
    /// Whether an Update would change more than claims, or would be refused.
    pub fn is_drift(&self) -> bool {
        let has_changes = |steps: &Vec<Step>| steps.iter().any(|step| !step.is_of_claims());
        self.plan.as_ref().map_or(true, has_changes)
    }
}

/// Compares a database with the desired state.
pub fn compare(desired: &Desired, catalog: &Catalog) -> Comparison {
    let plan = plan::plan(desired, catalog).map(|plan| plan.steps);
    Comparison { extensions: inspect(Some(desired), catalog), plan }
}

/// Every extension that is installed or asked for, sorted by name.
pub fn inspect(desired: Option<&Desired>, catalog: &Catalog) -> Vec<Inspected> {
    let entries = desired.map(|desired| resolve(desired, catalog).0).unwrap_or_default();
    let missing = entries.iter().filter(|(name, entry)| {
        catalog.installed(name).is_none() && entry.version != DesiredVersion::Absent
    });
    let missing = missing.map(|(name, entry)| Inspected {
        name: (*name).to_owned(),
        installed: None,
        default: catalog.available.get(*name).cloned().flatten(),
        update_available: false,
        reachable: Vec::new(),
        schema: None,
        owner: None,
        created_by: None,
        wanted: Some(entry.version.to_string()),
        state: Some(State::Missing),
    });
    // What the key `'*'` keeps is not known by itself.
    let steps = desired.map(|desired| Planner::plan(desired, catalog).steps).unwrap_or_default();
    let updated = steps.into_iter().filter_map(|step| match step {
        Step::Update { name, .. } => Some(name),
        _ => None,
    });
    let updated: BTreeSet<String> = updated.collect();
    let installed = catalog.installed.iter();
    let installed = installed.map(|it| installed_of(it, desired, &entries, &updated, catalog));
    let mut inspected: Vec<Inspected> = installed.chain(missing).collect();
    inspected.sort_by(|a, b| a.name.cmp(&b.name));
    inspected
}

fn installed_of(
    installed: &Installed,
    desired: Option<&Desired>,
    entries: &Entries,
    updated: &BTreeSet<String>,
    catalog: &Catalog,
) -> Inspected {
    let Installed { name, version, schema, owner, .. } = installed;
    let default = catalog.available.get(name).cloned().flatten();
    let reachable = catalog.update_targets(name).filter(|(_, reachable)| *reachable);
    let mut reachable: Vec<String> = reachable.map(|(version, _)| version.to_owned()).collect();
    reachable.sort_by(|a, b| rank(b, a));
    let is_reachable = default.as_ref().is_some_and(|default| reachable.contains(default));
    let update_available = default.as_ref() != Some(version) && is_reachable;
    let created = catalog.claims.iter().find(|it| it.extension == *name && it.created && !it.void);
    let entry = entries.get(name.as_str()).copied();
    let unnamed = desired.and_then(|desired| desired.unnamed);
    let state = match (entry, unnamed) {
        (Some(entry), _) => state_of(installed, entry, desired, catalog),
        (None, Some(_)) if updated.contains(name) => State::OtherVersion,
        (None, Some(_)) => State::AsWanted,
        (None, None) => State::NotListed,
    };
    Inspected {
        name: name.clone(),
        installed: Some(version.clone()),
        default,
        update_available,
        reachable,
        schema: Some(schema.clone()),
        owner: Some(owner.clone()),
        created_by: created.map(|claim| {
            let Claimant { stack, logical_id, .. } = claim.claimant.clone();
            CreatedBy { stack_id: stack, logical_resource_id: logical_id }
        }),
        wanted: entry.map(|entry| entry.version.to_string()),
        state: desired.map(|_| state),
    }
}

fn state_of(
    installed: &Installed,
    entry: &DesiredExtension,
    desired: Option<&Desired>,
    catalog: &Catalog,
) -> State {
    if entry.version == DesiredVersion::Absent {
        return State::Unwanted;
    }
    let keeps = desired.is_some_and(|desired| desired.downgrade == DowngradePolicy::Keep);
    match version::to_update(&entry.version, installed, catalog) {
        Ok(VersionChange::UpToDate) => {}
        Ok(VersionChange::Unreachable(_)) if keeps => {}
        _ => return State::OtherVersion,
    }
    let is_placed = entry.schema.as_ref().is_none_or(|schema| *schema == installed.schema);
    if is_placed { State::AsWanted } else { State::OtherSchema }
}
