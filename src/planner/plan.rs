//! What must change: pure, from what is wanted and what was observed; its steps display as SQL.
//!
//! Never awaits, never reads a clock, an environment variable or a client. Only names and versions
//! that the server itself listed get from here into a statement.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::planner::catalog::{Installed, Observed, Offered};
use crate::planner::problem::Problem;
use crate::planner::removal::decide::{self, Listed};
use crate::planner::step::{Kept, Step};
use crate::planner::version::{self, Target};
use crate::request::{DowngradePolicy, MOST_PROBLEMS, RemovalPolicy, Wanted, WantedExtension};
use crate::text::{listed, shown};

/// Extensions whose update must be the first statement of a session, before any `BEGIN`.
const FIRST_STATEMENTS: [&str; 1] = ["timescaledb"];

/// Everything to be done in one database, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// The statements.
    pub steps: Vec<Step>,
    /// What was asked for and is let be, in words for `Changes`.
    pub kept: Vec<Kept>,
    /// The extensions of the map, as the server spells them.
    pub names: BTreeSet<String>,
}

/// Decides what must change.
///
/// # Errors
/// Every problem of the whole map.
pub fn plan(wanted: &Wanted, observed: &Observed) -> Result<Plan, Vec<Problem>> {
    let mut planner = Planner::new(wanted, observed);
    planner.visit_all(wanted);
    planner.take_families_along();
    planner.judge_ground();
    let removal = decide::removal(wanted, observed, planner.listed());
    // Under CASCADE first: it must not take along what this very plan creates. Else last: an update
    // may end what depends on it.
    let steps = &mut planner.plan.steps;
    let first = wanted.removal == RemovalPolicy::DropCascade;
    steps.splice(if first { 0..0 } else { steps.len()..steps.len() }, removal.drop);
    steps.extend(removal.notes.into_iter().map(Step::Note));
    planner.plan.kept.extend(removal.kept);
    planner.problems.extend(removal.problems);
    planner.refuse_read_only();
    let Planner { mut plan, problems, goals, .. } = planner;
    plan.names = goals.keys().map(ToString::to_string).collect();
    if problems.is_empty() { Ok(plan) } else { Err(problems) }
}

/// The names of what would be dropped: to be asked about before the plan is made.
pub fn doomed<'a>(wanted: &'a Wanted, observed: &'a Observed) -> Vec<&'a str> {
    let mut planner = Planner::new(wanted, observed);
    planner.visit_all(wanted);
    decide::doomed(wanted, observed, planner.listed())
}

/// What [`untrusted.sql`] shall look at before the plan is made; `None` where no script is run,
/// and nothing moved by who is no superuser.
pub fn ground_question(wanted: &Wanted, observed: &Observed) -> Option<Value> {
    let mut planner = Planner::new(wanted, observed);
    planner.visit_all(wanted);
    planner.take_families_along();
    let schemas = planner.searched_schemas();
    let moved: Vec<&String> = planner
        .plan
        .steps
        .iter()
        .filter_map(|step| match step {
            Step::Move { name, .. } if !observed.is_ownership_decided_by_server(name) => Some(name),
            _ => None,
        })
        .collect();
    let prescribed: BTreeSet<&str> = planner
        .plan
        .steps
        .iter()
        .filter_map(|step| match step {
            Step::Create { name, schema: None, .. } => planner.schema_of(name),
            _ => None,
        })
        .collect();
    let is_needed = !schemas.is_empty() || !moved.is_empty();
    let trusted = &observed.ground.trusted;
    is_needed.then(|| {
        json!({ "schemas": schemas, "prescribed": prescribed, "moved": moved, "trusted": trusted })
    })
}

pub(crate) struct Planner<'a> {
    pub(crate) observed: &'a Observed,
    downgrade: DowngradePolicy,
    /// By the server's spelling.
    pub(crate) goals: BTreeMap<&'a str, &'a WantedExtension>,
    visited: BTreeSet<&'a str>,
    /// The schemas that steps of the plan create.
    schemas: BTreeSet<&'a str>,
    pub(crate) plan: Plan,
    pub(crate) problems: Vec<Problem>,
}

impl<'a> Planner<'a> {
    fn new(wanted: &Wanted, observed: &'a Observed) -> Self {
        Self {
            observed,
            downgrade: wanted.downgrade,
            goals: BTreeMap::new(),
            visited: BTreeSet::new(),
            schemas: BTreeSet::new(),
            plan: Plan::default(),
            problems: Vec::new(),
        }
    }

    fn visit_all(&mut self, wanted: &'a Wanted) {
        self.resolve(wanted);
        for name in self.goals.keys().copied().collect::<Vec<_>>() {
            if self.problems.len() >= MOST_PROBLEMS {
                break;
            }
            self.visit(name, None);
        }
    }

    /// Finds each key of the map in the server's own list.
    fn resolve(&mut self, wanted: &'a Wanted) {
        let mut keys: BTreeMap<&str, &str> = BTreeMap::new();
        for (key, extension) in &wanted.extensions {
            if self.problems.len() >= MOST_PROBLEMS {
                break;
            }
            let name = match self.spelled(key) {
                Ok(name) => name,
                Err(problem) => {
                    self.problems.push(problem);
                    continue;
                }
            };
            if let Some(other) = keys.insert(name, key) {
                self.problems.push(Problem::SameExtension {
                    name: name.to_owned(),
                    keys: [other.to_owned(), key.clone()],
                });
            }
            self.goals.insert(name, extension);
        }
    }

    /// The server's spelling of a key: exactly first, then without regard to case.
    fn spelled(&self, key: &str) -> Result<&'a str, Problem> {
        match self.observed.alike(key).as_slice() {
            [name] => Ok(name),
            [] => Err(Problem::unknown_extension(key, self.observed)),
            alike => {
                let names = listed(alike.iter().copied());
                Err(Problem::Ambiguous { key: key.to_owned(), names })
            }
        }
    }

    /// Plans one extension after everything that it requires.
    fn visit(&mut self, name: &'a str, required_by: Option<&'a str>) {
        if !self.visited.insert(name) {
            return;
        }
        let goal = self.goals.get(name).copied();
        match (self.observed.installed(name), goal) {
            (Some(installed), Some(goal)) => self.settle(installed, goal),
            (Some(_), None) => {}
            (None, goal) => self.create(name, goal, required_by),
        }
    }

    fn create(
        &mut self,
        name: &'a str,
        goal: Option<&'a WantedExtension>,
        required_by: Option<&'a str>,
    ) {
        let observed = self.observed;
        let Some(default) = observed.available.get(name) else {
            // Its files are not there; only a requirement gets here, `resolve` refuses the others.
            self.problems.push(Problem::missing_requirement(name, required_by, observed));
            return;
        };
        let version = match version::to_create(
            goal.map(|goal| &goal.version),
            default.as_deref(),
            name,
            observed,
        ) {
            Ok(version) => version,
            Err(problem) => {
                self.problems.push(problem);
                return;
            }
        };
        let required_by = required_by.filter(|_| goal.is_none());
        let subject = subject(name, required_by);
        self.visit_requirements(name, version);
        self.problems.extend(Problem::of_privileges(version, &subject, observed));
        self.problems.extend(Problem::of_parameter_group(name, &subject, observed));
        let (schema, new_schema) =
            self.schema_to_create(version, goal.and_then(|goal| goal.schema.as_deref()));
        self.plan.steps.push(Step::Create {
            name: name.to_owned(),
            version: version.version.clone(),
            schema: schema.map(ToOwned::to_owned),
            new_schema: new_schema.map(ToOwned::to_owned),
            required_by: required_by.map(ToOwned::to_owned),
        });
    }

    fn settle(&mut self, installed: &'a Installed, goal: &'a WantedExtension) {
        let name = installed.name.as_str();
        let move_to = goal.schema.as_deref().filter(|schema| *schema != installed.schema);
        let target = match version::to_update(&goal.version, installed, self.observed) {
            Ok(target) => target,
            Err(problem) => {
                self.problems.push(problem);
                Target::Settled
            }
        };
        let target = match target {
            Target::Unreachable(wanted) if self.downgrade == DowngradePolicy::Keep => {
                self.plan.kept.push(Kept::NoPath {
                    name: name.to_owned(),
                    installed: installed.version.clone(),
                    wanted: wanted.to_owned(),
                });
                None
            }
            Target::Unreachable(wanted) => {
                self.problems.push(Problem::no_update_path(installed, wanted, true, self.observed));
                None
            }
            Target::Update(to) => Some(to),
            Target::Settled => None,
        };
        if let Some(to) = target
            && FIRST_STATEMENTS.contains(&name)
        {
            self.problems.push(Problem::FirstStatement {
                database: self.observed.database.clone(),
                name: name.to_owned(),
                installed: installed.version.clone(),
                wanted: to.to_owned(),
            });
        }
        if let Some(to) = target
            && name == "postgis"
            && installed.version.starts_with("2.")
            && !to.starts_with("2.")
        {
            self.problems.push(Problem::RasterInside {
                installed: installed.version.clone(),
                wanted: to.to_owned(),
            });
        }
        if target.is_some() || move_to.is_some() {
            self.problems.extend(Problem::of_ownership(installed, self.observed));
        }
        if let Some(schema) = move_to {
            self.move_to(installed, schema);
        }
        if let Some(to) = target {
            if let Some(offered) = self.observed.offered(name).find(|offered| offered.version == to)
            {
                self.visit_requirements(name, offered);
                let subject = subject(name, None);
                self.problems.extend(Problem::of_privileges(offered, &subject, self.observed));
            }
            self.plan.steps.push(Step::Update {
                name: name.to_owned(),
                from: installed.version.clone(),
                to: to.to_owned(),
                with: None,
            });
        }
    }

    /// The extensions of the map and all that they require, and whether this plan creates them.
    fn listed(&self) -> Listed<'a> {
        let observed = self.observed;
        let mut listed = Listed::new();
        let mut names: Vec<&'a str> = self.goals.keys().copied().collect();
        while let Some(name) = names.pop() {
            if listed.contains_key(name) {
                continue;
            }
            let version = self.plan.steps.iter().find_map(|step| match step {
                Step::Create { name: other, version, .. } if other == name => Some(version),
                Step::Update { name: other, to, .. } if other == name => Some(to),
                _ => None,
            });
            let installed = observed.installed(name);
            listed.insert(name, installed.is_none());
            names.extend(installed.iter().flat_map(|it| it.requires.iter().map(String::as_str)));
            let offered = observed
                .offered
                .iter()
                .flatten()
                .find(|offered| offered.name == name && Some(&offered.version) == version);
            let requires = offered.and_then(|offered| offered.requires.as_ref());
            names.extend(requires.into_iter().flatten().map(String::as_str));
        }
        listed
    }

    fn move_to(&mut self, installed: &'a Installed, schema: &'a str) {
        if !installed.relocatable {
            self.problems.push(Problem::NotRelocatable {
                name: installed.name.clone(),
                schema: installed.schema.clone(),
                wanted: shown(schema).into(),
            });
            return;
        }
        if let Some(owner) = self.observed.ground.foreign.get(&installed.name)
            && installed.owned
        {
            self.problems.push(Problem::ForeignObjects {
                name: installed.name.clone(),
                owner: owner.clone(),
            });
        }
        self.ensure_schema(schema);
        let observed = self.observed;
        if observed.schemas.get(schema) == Some(&false)
            && !observed.is_decided_by_server(&installed.name)
        {
            self.problems.push(Problem::SchemaForbidden {
                name: installed.name.clone(),
                schema: schema.to_owned(),
                role: observed.role.clone(),
            });
        }
        self.plan.steps.push(Step::Move { name: installed.name.clone(), to: schema.to_owned() });
    }

    fn visit_requirements(&mut self, name: &'a str, version: &'a Offered) {
        for requirement in version.requires.iter().flatten() {
            self.visit(requirement, Some(name));
        }
    }

    /// The `SCHEMA` clause: none where the extension prescribes its schema. Then the server creates
    /// that one where it is missing: the second value.
    fn schema_to_create(
        &mut self,
        version: &'a Offered,
        wanted: Option<&'a str>,
    ) -> (Option<&'a str>, Option<&'a str>) {
        let observed = self.observed;
        match (version.schema.as_deref(), wanted) {
            (Some(prescribed), Some(wanted)) if prescribed != wanted => {
                self.problems.push(Problem::PrescribedSchema {
                    name: version.name.clone(),
                    schema: prescribed.to_owned(),
                    wanted: shown(wanted).into(),
                });
                (None, None)
            }
            (Some(prescribed), _) => {
                let may = observed.may_create || observed.is_decided_by_server(&version.name);
                (None, self.is_missing(prescribed, may).then_some(prescribed))
            }
            (None, wanted) => {
                let schema = wanted.unwrap_or("public");
                self.ensure_schema(schema);
                (Some(schema), None)
            }
        }
    }

    fn ensure_schema(&mut self, schema: &'a str) {
        if self.is_missing(schema, self.observed.superuser || self.observed.may_create) {
            self.plan.steps.push(Step::CreateSchema { schema: schema.to_owned() });
        }
    }

    /// Whether a schema is there neither now nor after the steps so far; from now on it counts as
    /// being there. `may` says that the role may create it.
    fn is_missing(&mut self, schema: &'a str, may: bool) -> bool {
        // The server answers for `pg_catalog`, which the look does not list.
        let there = self.observed.schemas.contains_key(schema) || schema == "pg_catalog";
        let missing = !there && self.schemas.insert(schema);
        if missing && !may {
            self.problems.push(Problem::MayNotCreateSchema {
                schema: shown(schema).into(),
                role: self.observed.role.clone(),
                database: self.observed.database.clone(),
            });
        }
        missing
    }

    /// Where the scripts of the plan search, but for the configured schemas: the extension's own, those
    /// of what it requires, and `public`. Empty where no script is run.
    fn searched_schemas(&self) -> BTreeSet<&str> {
        let observed = self.observed;
        let mut schemas = BTreeSet::new();
        for step in &self.plan.steps {
            let (Step::Create { name, .. } | Step::Update { name, .. }) = step else { continue };
            // Any version's: an update may go by several.
            let offered = observed.offered(name).flat_map(|it| it.requires.iter().flatten());
            let installed = observed.installed(name).into_iter().flat_map(|it| &it.requires);
            let names = offered.chain(installed).chain([name]);
            schemas.extend(names.filter_map(|name| self.schema_of(name)));
            schemas.insert("public");
        }
        schemas
    }

    /// Where an extension is when the plan's scripts run.
    fn schema_of<'b>(&'b self, name: &'b str) -> Option<&'b str> {
        let planned = self.plan.steps.iter().find_map(|step| match step {
            Step::Move { name: other, to } if other == name => Some(to.as_str()),
            Step::Create { name: other, version, schema, .. } if other == name => {
                let created = || self.observed.offered(name).find(|it| it.version == *version);
                schema.as_deref().or_else(|| created()?.schema.as_deref())
            }
            _ => None,
        });
        planned.or_else(|| Some(self.observed.installed(name)?.schema.as_str()))
    }

    fn judge_ground(&mut self) {
        let observed = self.observed;
        if self.plan.steps.iter().any(Step::runs_script) {
            self.problems.extend(observed.ground.problems(&observed.role));
            self.plan.kept.extend(observed.ground.warning());
        }
    }

    fn refuse_read_only(&mut self) {
        if self.observed.read_only && !self.plan.steps.is_empty() {
            self.problems.push(Problem::ReadOnly { database: self.observed.database.clone() });
        }
    }
}

/// An extension, and the one that brings it in where the map does not list it.
fn subject(name: &str, required_by: Option<&str>) -> String {
    required_by.map_or_else(|| format!("`{name}`"), |by| format!("`{name}` (required by `{by}`)"))
}
