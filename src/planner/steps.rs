//! The statements that bring the entries of the map, and what they require, to what is desired.

use std::collections::{BTreeMap, BTreeSet};

use crate::planner::catalog::{Catalog, Installed, Offered};
use crate::planner::desired::{
    Desired, DesiredExtension, DesiredVersion, DowngradePolicy, Unnamed,
};
use crate::planner::entries::{Entries, resolve, unnamed, versioned_with};
use crate::planner::removal::decide;
use crate::planner::step::Step;
use crate::planner::version::{
    self, VersionChange, default_update, is_first_statement, is_raster_split,
};
use crate::planner::{privileges, refusal};
use crate::problem::{MAX_PROBLEMS, Problem};

/// An extension, and the one that requires it where the map does not list it.
fn subject(name: &str, required_by: Option<&str>) -> String {
    required_by.map_or_else(|| format!("`{name}`"), |by| format!("`{name}` (required by `{by}`)"))
}

/// Plans what is created, updated and moved.
pub(super) struct Planner<'a> {
    catalog: &'a Catalog,
    desired: &'a Desired,
    /// The map, by the server's spelling.
    pub entries: Entries<'a>,
    /// The statements so far.
    pub steps: Vec<Step>,
    /// What is left alone, in words for `Changes`.
    pub kept: Vec<String>,
    /// What forbids the plan.
    pub problems: Vec<Problem>,
    /// What is dropped, and what goes along: known when the entries are planned.
    pub gone: BTreeSet<&'a str>,
    planned: BTreeSet<&'a str>,
    /// What the key `'*'` stands for and is not updated, in words.
    unnamed_kept: BTreeMap<&'a str, String>,
    /// The schemas that steps of the plan create.
    new_schemas: BTreeSet<&'a str>,
}

impl<'a> Planner<'a> {
    /// Plans every entry, and what the key `'*'` stands for.
    pub fn plan(desired: &'a Desired, catalog: &'a Catalog) -> Self {
        let (entries, problems) = resolve(desired, catalog);
        let mut planner = Self {
            catalog,
            desired,
            entries,
            steps: Vec::new(),
            kept: Vec::new(),
            problems,
            gone: BTreeSet::new(),
            planned: BTreeSet::new(),
            unnamed_kept: BTreeMap::new(),
            new_schemas: BTreeSet::new(),
        };
        planner.plan_each(planner.entries.keys().copied().collect());
        let along = catalog.dependents.objects.iter().filter_map(|it| it.extension.as_deref());
        let to_drop = decide::to_drop(desired, catalog, planner.listed());
        planner.gone = to_drop.into_iter().chain(along).collect();
        let unnamed = unnamed(desired, &planner.entries, catalog);
        planner.plan_each(unnamed.into_iter().map(|it| it.name.as_str()).collect());
        planner.update_members();
        planner.kept.extend(std::mem::take(&mut planner.unnamed_kept).into_values());
        planner
    }

    fn plan_each(&mut self, names: Vec<&'a str>) {
        for name in names {
            if self.problems.len() >= MAX_PROBLEMS {
                break;
            }
            self.plan_one(name, None);
        }
    }

    /// Plans one extension after everything that it requires.
    fn plan_one(&mut self, name: &'a str, required_by: Option<&'a str>) {
        if !self.planned.insert(name) {
            return;
        }
        match (self.catalog.installed(name), self.entries.get(name).copied()) {
            (Some(installed), Some(entry)) => self.change(installed, entry),
            (Some(installed), None) => self.update_unnamed(installed),
            (None, Some(entry)) if entry.version == DesiredVersion::Absent => {}
            (None, entry) => self.create(name, entry, required_by.filter(|_| entry.is_none())),
        }
    }

    fn create(
        &mut self,
        name: &'a str,
        entry: Option<&'a DesiredExtension>,
        required_by: Option<&'a str>,
    ) {
        let catalog = self.catalog;
        if let Some(by) = required_by
            && !catalog.available.contains_key(name)
        {
            self.problems.push(refusal::missing_requirement(name, by));
            return;
        }
        let desired = entry.map_or(&DesiredVersion::Any, |entry| &entry.version);
        let version = match version::to_create(desired, name, catalog) {
            Ok(version) => version,
            Err(problem) => {
                self.problems.push(problem);
                return;
            }
        };
        self.plan_requirements(name, version);
        let subject = subject(name, required_by);
        self.problems.extend(privileges::to_create(version, &subject, catalog));
        self.problems.extend(privileges::settings(name, &subject, catalog));
        let (schema, new_schema) =
            self.schema_to_create(version, entry.and_then(|entry| entry.schema.as_deref()));
        self.steps.push(Step::Create {
            name: name.to_owned(),
            version: version.version.clone(),
            schema: schema.map(ToOwned::to_owned),
            new_schema: new_schema.map(ToOwned::to_owned),
            required_by: required_by.map(ToOwned::to_owned),
        });
    }

    /// Moves and updates what is installed.
    fn change(&mut self, installed: &'a Installed, entry: &'a DesiredExtension) {
        let catalog = self.catalog;
        let move_to = entry.schema.as_deref().filter(|schema| *schema != installed.schema);
        let update_to = self.update_target(installed, entry);
        if move_to.is_some() || update_to.is_some() {
            self.problems.extend(privileges::to_change(installed, catalog));
        }
        if let Some(schema) = move_to {
            self.move_to(installed, schema);
        }
        if let Some(to) = update_to {
            self.update_with_requirements(installed, to);
        }
    }

    fn update_with_requirements(&mut self, installed: &'a Installed, to: &'a str) {
        let (catalog, name) = (self.catalog, installed.name.as_str());
        if let Some(offered) = catalog.offered(name).find(|offered| offered.version == to) {
            self.plan_requirements(name, offered);
            let subject = subject(name, None);
            self.problems.extend(privileges::to_create(offered, &subject, catalog));
        }
        self.update(installed, to, None);
    }

    /// Updates what the key `'*'` stands for to its default version, or says why it is kept.
    fn update_unnamed(&mut self, installed: &'a Installed) {
        let catalog = self.catalog;
        let Installed { name, version, .. } = installed;
        if self.desired.unnamed != Some(Unnamed::Latest) || self.gone.contains(name.as_str()) {
            return;
        }
        let why = match default_update(installed, &self.entries, catalog) {
            Ok(None) => return,
            Ok(Some(default)) => {
                let Some(other) = self.requires_gone(name, default) else {
                    self.problems.extend(privileges::to_change(installed, catalog));
                    self.update_with_requirements(installed, default);
                    return;
                };
                format!("{default} requires {other}, which is not to be there")
            }
            Err(why) => why,
        };
        self.unnamed_kept.insert(name, format!("kept {name} {version} ({why})"));
    }

    /// What a version requires and this request drops, or wants `absent`.
    fn requires_gone(&self, name: &'a str, version: &str) -> Option<&'a str> {
        let offered = self.catalog.offered(name).find(|offered| offered.version == version)?;
        let is_absent = |name: &str| {
            self.entries.get(name).is_some_and(|entry| entry.version == DesiredVersion::Absent)
        };
        let mut requires = offered.requires.iter().flatten().map(String::as_str);
        requires.find(|name| self.gone.contains(name) || is_absent(name))
    }

    /// The version to update to, if there is one that can be updated to.
    fn update_target(
        &mut self,
        installed: &'a Installed,
        entry: &'a DesiredExtension,
    ) -> Option<&'a str> {
        let (catalog, name) = (self.catalog, installed.name.as_str());
        match version::to_update(&entry.version, installed, catalog) {
            Ok(VersionChange::UpToDate) => {}
            Ok(VersionChange::Update(to)) => {
                if is_first_statement(name) {
                    self.problems.push(refusal::first_statement(installed, to, catalog));
                }
                if is_raster_split(installed, to) {
                    self.problems.push(refusal::raster_inside(installed, to));
                }
                return Some(to);
            }
            Ok(VersionChange::Unreachable(wanted))
                if self.desired.downgrade == DowngradePolicy::Keep =>
            {
                let version = &installed.version;
                let kept = format!("kept {name} {version} (no update path to {wanted})");
                self.kept.push(kept);
            }
            Ok(VersionChange::Unreachable(wanted)) => {
                self.problems.push(refusal::no_update_path(installed, wanted, true, catalog));
            }
            Err(problem) => self.problems.push(problem),
        }
        None
    }

    fn update(&mut self, installed: &Installed, to: &str, with: Option<&str>) {
        self.steps.push(Step::Update {
            name: installed.name.clone(),
            from: installed.version.clone(),
            to: to.to_owned(),
            with: with.map(ToOwned::to_owned),
        });
    }

    /// What is versioned with an extension that is updated goes along to the same version, unless the
    /// map has another one for it.
    fn update_members(&mut self) {
        let catalog = self.catalog;
        let updates = |steps: &[Step]| -> Vec<(String, String, String)> {
            let updates = steps.iter().filter_map(|step| match step {
                Step::Update { name, from, to, .. } => {
                    Some((name.clone(), from.clone(), to.clone()))
                }
                _ => None,
            });
            updates.collect()
        };
        let mut heads = updates(&self.steps);
        while let Some((head, from, to)) = heads.pop() {
            for member in versioned_with(&head, &from, catalog) {
                let name = member.name.as_str();
                let entry = self.entries.get(name);
                let is_reachable = catalog.update_targets(name).any(|target| target == (&to, true));
                if entry.is_some_and(|entry| entry.version != DesiredVersion::Any)
                    || updates(&self.steps).iter().any(|(updated, ..)| updated == name)
                    || self.gone.contains(name)
                    || !is_reachable
                {
                    continue;
                }
                self.problems.extend(privileges::to_change(member, catalog));
                self.unnamed_kept.remove(name);
                self.update(member, &to, Some(&head));
                heads.push((member.name.clone(), from.clone(), to.clone()));
            }
        }
    }

    fn move_to(&mut self, installed: &'a Installed, schema: &'a str) {
        let (catalog, name) = (self.catalog, &installed.name);
        if !installed.relocatable {
            self.problems.push(refusal::not_relocatable(installed, schema));
            return;
        }
        if let Some(owner) = catalog.untrusted.members.get(name)
            && installed.owned
            && !catalog.is_ownership_decided_by_server(name)
        {
            self.problems.push(Problem::new(format!(
                "`{name}` can only be moved by a superuser: its objects belong to `{owner}`"
            )));
        }
        self.ensure_schema(schema);
        if catalog.may_create_in(schema) == Some(false) && !catalog.is_decided_by_server(name) {
            self.problems.push(refusal::schema_forbidden(name, schema, &catalog.role));
        }
        self.steps.push(Step::Move { name: name.clone(), to: schema.to_owned() });
    }

    fn plan_requirements(&mut self, name: &'a str, version: &'a Offered) {
        for requirement in version.requires.iter().flatten() {
            self.plan_one(requirement, Some(name));
        }
    }

    /// The `SCHEMA` clause: none where the extension prescribes its schema. Then the server creates
    /// that one where it is missing: the second value.
    fn schema_to_create(
        &mut self,
        version: &'a Offered,
        wanted: Option<&'a str>,
    ) -> (Option<&'a str>, Option<&'a str>) {
        let Some(prescribed) = version.schema.as_deref() else {
            let schema = wanted.unwrap_or("public");
            self.ensure_schema(schema);
            return (Some(schema), None);
        };
        if let Some(wanted) = wanted.filter(|wanted| *wanted != prescribed) {
            self.problems.push(refusal::prescribed_schema(&version.name, prescribed, wanted));
            return (None, None);
        }
        let catalog = self.catalog;
        let may = catalog.may_create || catalog.is_decided_by_server(&version.name);
        (None, self.is_missing(prescribed, may).then_some(prescribed))
    }

    fn ensure_schema(&mut self, schema: &'a str) {
        if self.is_missing(schema, self.catalog.superuser || self.catalog.may_create) {
            self.steps.push(Step::CreateSchema { schema: schema.to_owned() });
        }
    }

    /// Whether a schema is there neither now nor after the steps so far; from now on it counts as
    /// being there. `may` says that the role may create it.
    fn is_missing(&mut self, schema: &'a str, may: bool) -> bool {
        let there = self.catalog.may_create_in(schema).is_some();
        let missing = !there && self.new_schemas.insert(schema);
        if missing && !may {
            self.problems.push(refusal::may_not_create_schema(schema, self.catalog));
        }
        missing
    }

    /// The extensions of the map and all that they require, and whether this plan creates them.
    pub fn listed(&self) -> decide::Listed<'a> {
        let catalog = self.catalog;
        let mut listed = decide::Listed::new();
        let is_listed = |entry: &DesiredExtension| entry.version != DesiredVersion::Absent;
        let entries = self.entries.iter().filter(|(_, entry)| is_listed(entry));
        let mut names: Vec<&'a str> = entries.map(|(name, _)| *name).collect();
        while let Some(name) = names.pop() {
            if listed.contains_key(name) {
                continue;
            }
            let version = self.steps.iter().find_map(|step| match step {
                Step::Create { name: other, version, .. } if other == name => Some(version),
                Step::Update { name: other, to, .. } if other == name => Some(to),
                _ => None,
            });
            let installed = catalog.installed(name);
            listed.insert(name, installed.is_none());
            names.extend(installed.iter().flat_map(|it| it.requires.iter().map(String::as_str)));
            let offered = catalog.offered(name).find(|it| Some(&it.version) == version);
            let requires = offered.and_then(|offered| offered.requires.as_ref());
            names.extend(requires.into_iter().flatten().map(String::as_str));
        }
        listed
    }
}
