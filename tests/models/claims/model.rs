//! A model of the servers: the planner gets the catalog of the model, and its statements are applied
//! as a real server would.

use std::collections::{BTreeMap, BTreeSet};

use cfn_postgres_extensions::planner::catalog::Catalog;
use cfn_postgres_extensions::planner::desired::{Desired, DesiredExtension, DesiredVersion};
use cfn_postgres_extensions::planner::inspect::compare;
use cfn_postgres_extensions::planner::plan::{Plan, plan, to_drop};
use cfn_postgres_extensions::planner::removal::ownership::{self, ClaimChange, Claimant};
use cfn_postgres_extensions::planner::step::Step;
use serde_json::{Value, json};

use crate::claims::event::{DATABASES, ManualChange, NAMES, RESOURCES, requirement};
use crate::claims::history::{Request, World};
use crate::claims::oracle::{Asked, Key, Snapshot, Whose};

/// A row of the table of claims.
#[derive(Debug, Clone)]
struct Row {
    claimant: Claimant,
    extension: String,
    created: bool,
    oid: u32,
    home: u32,
    database: usize,
}

/// One database.
#[derive(Debug, Clone, Default)]
struct Database {
    /// With their oids.
    extensions: BTreeMap<&'static str, u32>,
    used: BTreeSet<&'static str>,
    rows: bool,
    linked: bool,
    /// The oid of the schema of the claims.
    home: Option<u32>,
    table: Option<Vec<Row>>,
    /// Something else is in that schema.
    clutter: bool,
}

/// All databases.
#[derive(Debug)]
pub struct Model {
    databases: [Database; DATABASES],
    oids: u32,
}

/// A resource in one place, as the table of claims has it.
fn claimant(Key { who, place }: Key) -> Claimant {
    let logical_id = ["Left", "Right"][who % 2].to_owned();
    let physical_id = format!("{logical_id}-0000000{place}");
    Claimant { stack: format!("stack/{}", who / 2), logical_id, physical_id }
}

fn key(of: &Claimant) -> Key {
    let keys = (0..RESOURCES).flat_map(|who| (0..3).map(move |place| Key { who, place }));
    keys.into_iter().find(|key| claimant(*key) == *of).expect("one of ours")
}

fn known(name: &str) -> &'static str {
    NAMES.iter().find(|known| **known == name).expect("a name of the model")
}

impl Model {
    /// Empty databases.
    pub fn new() -> Self {
        let mut model = Self { databases: Default::default(), oids: 100 };
        for database in 0..DATABASES {
            model.create(database, "plpgsql");
        }
        model
    }

    fn oid(&mut self) -> u32 {
        self.oids += 1;
        self.oids
    }

    fn create(&mut self, database: usize, name: &'static str) {
        let oid = self.oid();
        let before = self.databases[database].extensions.insert(name, oid);
        assert_eq!(before, None, "{name} is there already");
    }

    /// What the three looks would see.
    fn catalog(&self, database: usize, desired: &Desired) -> Catalog {
        let it = &self.databases[database];
        let installed = it.extensions.keys().map(|name| {
            json!({ "name": name, "version": "1.0", "schema": "public", "relocatable": true,
                    "owned": true, "requires": requirement(name).into_iter().collect::<Vec<_>>() })
        });
        let offered = NAMES.iter().map(|name| {
            json!({ "name": name, "version": "1.0", "superuser": false, "trusted": true,
                    "relocatable": true, "schema": null,
                    "requires": requirement(name).into_iter().collect::<Vec<_>>() })
        });
        let home = it.home.map(|_| {
            json!({ "owner": "r", "trusted": true, "table": it.table.is_some(),
                    "ours": it.table.is_some(), "readable": true, "writable": true, "owned": true,
                    "alone": !it.clutter })
        });
        let mut catalog: Catalog = serde_json::from_value(json!({
            "database": database.to_string(), "server_version": "15.8", "role": "r",
            "superuser": true, "delegated": false, "may_create": true, "read_only": false,
            "libraries": null, "rds_extensions": null, "rds_allowed_extensions": null,
            "cron_database": null,
            "installed": installed.collect::<Vec<_>>(),
            "available": NAMES.iter().map(|name| (*name, "1.0")).collect::<BTreeMap<_, _>>(),
            "offers": { "versions": offered.collect::<Vec<_>>(), "paths": [],
                        "schemas": { "public": true } },
            "claim_table": home,
            "claims": it.claims(database),
        }))
        .expect("a server");
        let names: Vec<&'static str> = to_drop(desired, &catalog).into_iter().map(known).collect();
        if !names.is_empty() {
            catalog.dependents = serde_json::from_value(it.dependents(&names)).expect("dependents");
        }
        catalog
    }

    fn run(&mut self, database: usize, step: &Step) {
        let fresh = self.oid();
        let it = &mut self.databases[database];
        match step {
            Step::Create { name, .. } => {
                let name = known(name);
                assert!(requirement(name).is_none_or(|it2| it.extensions.contains_key(it2)));
                self.create(database, name);
            }
            Step::Drop { extensions, cascade, along } => {
                let names: Vec<_> = extensions.iter().map(|(name, _)| known(name)).collect();
                assert!(!names.contains(&"plpgsql"), "{step}");
                let dependents = it.dependents(&names);
                let dependents = dependents["objects"].as_array().expect("a list").len();
                assert!(*cascade || dependents == 0, "the server refuses: {step}");
                let rows = it.rows && names.contains(&"keeper");
                assert!(*cascade || !rows, "rows are lost: {step}");
                assert_eq!(along.len(), dependents + usize::from(rows), "all is said: {step:?}");
                it.remove(&names);
            }
            Step::Claims(entry) => it.note(entry, database, fresh),
            other => panic!("nobody asked for that: {other}"),
        }
    }

    fn apply(&mut self, database: usize, plan: &Plan) {
        plan.steps.iter().for_each(|step| self.run(database, step));
        let it = &self.databases[database];
        assert!(it.table.as_ref().is_none_or(|rows| !rows.is_empty()), "a table without claims");
        if plan.steps.iter().any(|step| matches!(step, Step::Claims(ClaimChange::DropTable))) {
            assert!(it.home.is_none() || it.clutter, "a schema of ours without a table");
        }
    }

    fn plans(&self, request: &Request) -> Option<Vec<(usize, Plan)>> {
        let whose = match request.whose {
            Whose::This(key) => ownership::Claimants::This(claimant(key)),
            Whose::AnyOf(who) => ownership::Claimants::AnyOf(claimant(Key { who, place: 0 })),
        };
        let mut plans = Vec::new();
        for (database, Asked { map, absent, before, .. }) in request.asked() {
            let entry = |version: &DesiredVersion, name: &&'static str| {
                let version = version.clone();
                ((*name).to_owned(), DesiredExtension { version, schema: None })
            };
            let listed = map.iter().map(|name| entry(&DesiredVersion::Any, name));
            let absent = absent.iter().map(|name| entry(&DesiredVersion::Absent, name));
            let wanted = Desired {
                extensions: listed.chain(absent).collect(),
                removal: request.wish.policy,
                claimants: whose.clone(),
                earlier: before.map(|names| names.into_iter().map(ToOwned::to_owned).collect()),
                ..Desired::default()
            };
            let catalog = self.catalog(database, &wanted);
            let plan = plan(&wanted, &catalog);
            let compared = compare(&wanted, &catalog);
            assert_eq!(compared.plan, plan.clone().map(|plan| plan.steps), "{request:#?}");
            let has_changes = |plan: &Plan| plan.steps.iter().any(|step| !step.is_of_claims());
            assert_eq!(compared.is_drift(), plan.as_ref().map_or(true, has_changes));
            plans.push((database, plan.ok()?));
        }
        Some(plans)
    }
}

impl Database {
    /// As `claims.sql` answers.
    fn claims(&self, database: usize) -> Value {
        let rows = self.table.iter().flatten().map(|row| {
            let restored = Some(row.home) != self.home;
            let oid = self.extensions.get(row.extension.as_str());
            let it = oid.is_some_and(|oid| restored || *oid == row.oid);
            json!({
                "claimant": { "stack": row.claimant.stack, "logical_id": row.claimant.logical_id,
                              "physical_id": row.claimant.physical_id },
                "extension": row.extension, "created": row.created && it, "stale": row.created && !it,
                "void": row.database != database,
                "restored": restored,
            })
        });
        rows.collect()
    }

    /// As `dependents.sql` answers, and the look at the rows after it.
    fn dependents(&self, names: &[&'static str]) -> Value {
        let mut gone: BTreeSet<&str> = names.iter().copied().collect();
        let mut dependents = Vec::new();
        for name in self.extensions.keys().filter(|name| !names.contains(name)) {
            let needs = requirement(name).is_some_and(|it| names.contains(&it))
                || (*name == "citext" && self.linked && names.contains(&"hstore"));
            if needs {
                gone.insert(name);
                let what = format!("extension {name}");
                dependents.push(json!({ "of": names, "what": what, "extension": name }));
            }
        }
        for name in self.used.iter().filter(|name| gone.contains(*name)) {
            dependents.push(json!({ "of": names, "what": format!("table column use_{name}.it") }));
        }
        let tables: Vec<Value> = names
            .iter()
            .filter(|name| **name == "keeper")
            .map(|name| {
                json!({ "extension": name, "schema": "public", "table": "kept", "condition": "",
                        "readable": true, "has_rows": self.rows })
            })
            .collect();
        let total = dependents.len();
        let counts: BTreeMap<_, _> =
            names.iter().filter(|_| total > 0).map(|name| (*name, total)).collect();
        json!({ "objects": dependents, "total": total, "counts": counts, "tables": tables })
    }

    fn remove(&mut self, names: &[&'static str]) {
        let mut names: BTreeSet<&str> = names.iter().copied().collect();
        if names.contains("cube") {
            names.insert("earthdistance");
        }
        if names.contains("hstore") && self.linked {
            names.insert("citext");
        }
        self.extensions.retain(|name, _| !names.contains(name));
        self.used.retain(|name| !names.contains(name));
        self.rows &= !names.contains("keeper");
        self.linked &= !names.contains("hstore") && !names.contains("citext");
    }

    /// As the table of claims would take the statement.
    fn note(&mut self, entry: &ClaimChange, database: usize, fresh: u32) {
        let current = |row: &Row| row.database == database;
        let (extensions, home) = (&self.extensions, self.home);
        if let ClaimChange::CreateTable { schema } = entry {
            assert_eq!(*schema, home.is_none(), "{entry}");
            assert!(self.table.is_none(), "{entry}");
            self.home = home.or(Some(fresh));
            self.table = Some(Vec::new());
            return;
        }
        if *entry == ClaimChange::DropSchema {
            assert!(self.table.is_none() && !self.clutter, "{entry}");
            self.home = None;
            return;
        }
        let rows = self.table.as_mut().unwrap_or_else(|| panic!("there is no table: {entry}"));
        let home = home.expect("the table's schema");
        match entry {
            ClaimChange::CreateTable { .. } | ClaimChange::DropSchema => {}
            ClaimChange::RenewOids => {
                for row in rows.iter_mut().filter(|row| current(row) && row.home != home) {
                    let oid = extensions.get(row.extension.as_str()).copied();
                    (row.oid, row.home) = (oid.unwrap_or(0), home);
                }
            }
            ClaimChange::RemoveOfOtherDatabases => rows.retain(current),
            ClaimChange::EndOwnership => {
                for row in rows.iter_mut() {
                    let oid = extensions.get(row.extension.as_str());
                    row.created &= oid.is_some_and(|oid| *oid == row.oid || row.home != home);
                }
            }
            ClaimChange::Claim { claimant, extensions: named } => {
                for (name, created) in named {
                    let Some(oid) = extensions.get(name.as_str()) else { continue };
                    let row = Row {
                        claimant: claimant.clone(),
                        extension: name.clone(),
                        created: *created,
                        oid: *oid,
                        home,
                        database,
                    };
                    let same = |it: &&mut Row| it.claimant == *claimant && it.extension == *name;
                    match rows.iter_mut().find(same) {
                        Some(there) => *there = row,
                        None => rows.push(row),
                    }
                }
            }
            ClaimChange::Release { claimant, extensions } => {
                rows.retain(|row| {
                    row.claimant != *claimant || !extensions.contains(&row.extension)
                });
            }
            ClaimChange::TransferOwnership { claimant, extension } => {
                let it = |row: &&mut Row| row.claimant == *claimant && row.extension == *extension;
                let row = rows.iter_mut().find(it).expect("the next owner");
                let oid = extensions[extension.as_str()];
                (row.created, row.oid, row.home) = (true, oid, home);
            }
            ClaimChange::DropTable => self.table = None,
        }
    }
}

impl World for Model {
    const NEEDS_PLPGSQL: bool = false;

    fn request(&mut self, request: &Request) -> bool {
        let Some(plans) = self.plans(request) else { return false };
        for (database, plan) in &plans {
            self.apply(*database, plan);
        }
        let again = self.plans(request).unwrap_or_else(|| panic!("refused again: {request:#?}"));
        for (database, plan) in again {
            assert_eq!(plan.steps, [], "the second time, in {database}: {request:#?}");
        }
        true
    }

    fn meddle(&mut self, database: usize, change: ManualChange, extension: &'static str) {
        let fresh: Vec<u32> = (0..=NAMES.len()).map(|_| self.oid()).collect();
        let it = &mut self.databases[database];
        match change {
            ManualChange::Create | ManualChange::Drop | ManualChange::Recreate => {
                if change != ManualChange::Create {
                    it.remove(&[extension]);
                }
                if change != ManualChange::Drop {
                    for name in requirement(extension).into_iter().chain([extension]) {
                        if !self.databases[database].extensions.contains_key(name) {
                            self.create(database, name);
                        }
                    }
                }
            }
            ManualChange::Use => drop(it.used.insert(extension)),
            ManualChange::LetGo => drop(it.used.remove(extension)),
            ManualChange::Write => it.rows = true,
            ManualChange::Erase => it.rows = false,
            ManualChange::Link => it.linked = true,
            ManualChange::Clutter => it.clutter = true,
            ManualChange::Restore => {
                it.extensions.values_mut().zip(&fresh).for_each(|(oid, new)| *oid = *new);
                it.home = it.home.and(fresh.last().copied());
            }
            ManualChange::Copy => self.databases[database] = self.databases[1 - database].clone(),
        }
    }

    fn snapshot(&mut self, database: usize) -> Snapshot {
        let it = &self.databases[database];
        let rows = it.table.iter().flatten().filter(|row| row.database == database);
        let claims = rows.map(|row| {
            let oid = it.extensions.get(row.extension.as_str());
            let bound = oid == Some(&row.oid) || (oid.is_some() && Some(row.home) != it.home);
            (key(&row.claimant), known(&row.extension), row.created && bound)
        });
        Snapshot {
            extensions: it.extensions.keys().copied().collect(),
            used: it.used.clone(),
            rows: it.rows,
            claims: claims.collect(),
        }
    }
}
