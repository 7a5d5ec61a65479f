//! The function and a real server, and what must be true of each request.

use std::collections::BTreeMap;
use std::time::Duration;

use cfn_postgres_extensions::reconcile::error::{Error, InDatabase};
use serde_json::{Value, json};

use super::event::{Action, DATABASES, ManualChange, NAMES, RESOURCES, Template};
use super::server_log::{Done, SETTINGS, ServerLog};
use crate::support::cluster::Cluster;
use crate::support::database::{Database, quoted};
use crate::support::function::Function;
use crate::support::secrets::SecretsManager;

/// The secrets of a superuser and of the databases' owner.
const SECRETS: [&str; 2] = ["app/superuser", "app/owner"];

/// The owner's role; its password too.
const OWNER: &str = "owner_of_databases";

/// Every extension with its version and its schema, and every schema but that of the claims.
const STATE: &str = "
    SELECT coalesce(string_agg(it, '; ' ORDER BY it), '') FROM (
        SELECT format('%s %s in %s', extname, extversion, extnamespace::regnamespace)
        FROM pg_extension
        UNION ALL
        SELECT nspname FROM pg_namespace
        WHERE nspname !~ '^pg_' AND nspname <> 'cfn_postgres_extensions'
    ) AS all_of_it (it)";

/// What came of the requests.
#[derive(Debug, Clone, Default)]
pub struct Count {
    /// Requests that succeeded.
    pub succeeded: u64,
    /// Requests that were refused with problems.
    pub refused: u64,
    /// Requests that the server refused in the transaction, which no problem foretells.
    pub failed: u64,
    /// Statements that ran, by what they do.
    pub actions: BTreeMap<String, u64>,
}

/// One server, its databases and a function.
pub struct World {
    /// What came of the requests so far.
    pub count: Count,
    databases: Vec<Database>,
    resources: [Option<Resource>; RESOURCES],
    /// The versions of each extension that the server can create.
    versions: BTreeMap<String, Vec<String>>,
    function: Function,
    log: ServerLog,
    cluster: Cluster,
    _secrets: SecretsManager,
}

/// A resource that is there.
#[derive(Debug, Clone)]
struct Resource {
    id: String,
    template: Template,
    properties: Value,
}

/// What an Inspect says of one database.
#[derive(Debug)]
struct Inspected {
    database: String,
    plan: Vec<Value>,
    problems: Vec<String>,
    drift: bool,
}

impl Inspected {
    fn statements(&self) -> Vec<&str> {
        self.plan.iter().map(|it| it["Statement"].as_str().expect("a statement")).collect()
    }
}

impl World {
    /// A server of its own.
    pub fn new() -> Self {
        let cluster = Cluster::offering(&NAMES, &SETTINGS);
        let server = cluster.server;
        let admin = server.connect("postgres");
        admin.query(&format!(
            "CREATE ROLE {OWNER} LOGIN PASSWORD '{OWNER}'; CREATE ROLE planter;
             ALTER DATABASE postgres IS_TEMPLATE true"
        ));
        let mut versions: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for row in admin.query("SELECT name, version FROM pg_available_extension_versions") {
            versions.entry(row[0].clone()).or_default().push(row[1].clone());
        }
        let secrets = SecretsManager::start();
        for (name, role, password) in
            [(SECRETS[0], &*server.user, &*server.password), (SECRETS[1], OWNER, OWNER)]
        {
            let secret = json!({ "host": server.host, "port": server.port, "dbname": DATABASES[0],
                                 "username": role, "password": password });
            secrets.put(name, "AWSCURRENT", secret.to_string());
        }
        let function = Function::start(&[
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER", secrets.url()),
            ("PGSSLROOTCERT", server.ca.clone()),
        ]);
        Self {
            count: Count::default(),
            databases: Vec::new(),
            resources: Default::default(),
            versions,
            function,
            log: ServerLog::of(&cluster),
            cluster,
            _secrets: secrets,
        }
    }

    /// Makes new databases, and forgets the resources.
    pub fn clear(&mut self) {
        self.databases.clear();
        let create = |name: &str| {
            let database = Database::at(self.cluster.server, name);
            database.query(&format!("ALTER DATABASE {} OWNER TO {OWNER}", quoted(name)));
            database.query("SET client_min_messages = error");
            database
        };
        self.databases.extend(DATABASES.map(create));
        self.resources = Default::default();
    }

    /// Does what happens.
    pub fn play(&mut self, action: &Action) {
        match action {
            Action::Deploy { who, template } => self.deploy(*who, template),
            Action::Edit { who, template } => {
                let Some(resource) = &self.resources[*who] else { return };
                let mut next = template.clone();
                // The last of the old entries leave, as far as there are new ones.
                let keep = resource.template.map.len().saturating_sub(template.map.len() / 2);
                let old = resource.template.map.iter().take(keep);
                next.map = old.map(|(key, entry)| (key.clone(), entry.clone())).collect();
                // One that stays gets another version and another schema.
                let changed = next.map.values_mut().next().zip(template.map.values().last());
                if let Some((entry, other)) = changed {
                    entry.clone_from(other);
                }
                next.map.extend(template.map.clone().into_iter().take(1));
                self.deploy(*who, &next);
            }
            Action::Delete { who } => {
                if let Some(resource) = self.resources[*who].take() {
                    // It may be refused: then what it created stays.
                    let _ =
                        self.invoke(&Self::event("Delete", *who, Some(&resource.id), &resource));
                }
            }
            Action::Hand { database, change } => self.change(*database, change),
        }
    }

    fn event(kind: &str, who: usize, id: Option<&str>, resource: &Resource) -> Value {
        let mut event = json!({
            "RequestType": kind,
            "StackId": format!("arn:aws:cloudformation:eu-west-1:123456789012:stack/{who}"),
            "LogicalResourceId": "Extensions",
            "ResourceProperties": resource.properties,
        });
        if let Some(id) = id {
            event["PhysicalResourceId"] = json!(id);
        }
        event
    }

    fn properties(&self, template: &Template) -> Value {
        let names: Vec<&str> = template.databases.iter().map(|at| DATABASES[*at]).collect();
        let mut properties = json!({
            "DBSecret": SECRETS[usize::from(template.is_limited)],
            "Databases": if names.is_empty() { json!("*") } else { json!(names) },
            "PluginsMap": template.map(&self.versions),
            "RemovalPolicy": template.policy,
            "DowngradePolicy": template.downgrade,
        });
        if template.is_elsewhere {
            properties["Host"] = json!("127.0.0.1");
        }
        properties
    }

    fn invoke(&self, event: &Value) -> Result<Value, Value> {
        let outcome = self.function.invoke(event.to_string().as_bytes(), Duration::from_mins(1));
        outcome.map_err(|error| {
            let message = error["errorMessage"].as_str().expect("a message");
            serde_json::from_str(message).unwrap_or_else(|_| panic!("{error:#}"))
        })
    }

    /// The same, and what the server logged meanwhile.
    fn watch(&mut self, event: &Value) -> (Result<Value, Value>, BTreeMap<String, Done>) {
        self.log.done();
        let outcome = self.invoke(event);
        (outcome, self.log.done())
    }

    fn inspect(&mut self, event: &Value) -> Vec<Inspected> {
        let mut event = event.clone();
        event["RequestType"] = json!("Inspect");
        let (outcome, done) = self.watch(&event);
        assert!(done.is_empty(), "an Inspect changed something: {done:#?}");
        let result = outcome.unwrap_or_else(|error| panic!("{error:#}\nof {event:#}"));
        let databases = result["Databases"].as_array().expect("a list").iter();
        databases
            .map(|it| Inspected {
                database: it["Database"].as_str().expect("a name").to_owned(),
                plan: it["Plan"].as_array().unwrap_or_else(|| panic!("{it:#}")).clone(),
                problems: serde_json::from_value(it["Problems"].clone()).expect("a list"),
                drift: it["Drift"].as_bool().expect("a boolean"),
            })
            .collect()
    }

    fn state(&self) -> BTreeMap<String, String> {
        let state = |it: &Database| (it.name.clone(), it.value(STATE));
        self.databases.iter().map(state).collect()
    }

    /// Creates or updates a resource, and compares that with what was said before it.
    fn deploy(&mut self, who: usize, template: &Template) {
        let before = self.resources[who].take();
        let properties = self.properties(template);
        let mut resource = Resource { id: String::new(), template: template.clone(), properties };
        let event = match &before {
            None => Self::event("Create", who, None, &resource),
            Some(before) => {
                let mut event = Self::event("Update", who, Some(&before.id), &resource);
                event["OldResourceProperties"] = before.properties.clone();
                event
            }
        };
        let state = self.state();
        let inspected = self.inspect(&event);
        let mut dry_run = event.clone();
        dry_run["ResourceProperties"]["DryRun"] = json!(true);
        let dry_run = self.watch(&dry_run);
        assert_eq!(self.state(), state, "the dry run changed something: {event:#}");
        let update = self.watch(&event);
        let told = format!("{event:#}\nin {state:#?}\n{inspected:#?}\n{dry_run:#?}\n{update:#?}");
        let after = self.state();
        let succeeded = update.0.is_ok();
        if inspected.iter().any(|it| !it.problems.is_empty()) {
            self.count.refused += 1;
            for (outcome, done) in [&dry_run, &update] {
                let reason = outcome.as_ref().expect_err(&told)["Reason"].clone();
                assert!(is_refusal(reason.as_str().expect("a text"), &inspected), "{told}");
                assert!(done.is_empty(), "{told}");
            }
            assert_eq!(after, state, "{told}");
        } else if succeeded {
            self.count.succeeded += 1;
            let plan = &dry_run.0.as_ref().expect(&told)["Plan"];
            check_plans(&inspected, plan, &dry_run.1, &told);
            assert!(dry_run.1.values().all(|done| !done.committed), "{told}");
            check_plans(&inspected, plan, &update.1, &told);
            assert!(update.1.values().all(|done| done.committed), "{told}");
            self.count_actions(&inspected);
        } else {
            // The server refused what it alone decides. It has got the very statements of the plan.
            self.count.failed += 1;
            assert!(dry_run.0.is_err(), "{told}");
            for (database, done) in dry_run.1.iter().chain(&update.1) {
                let of = inspected.iter().find(|it| it.database == *database);
                assert_eq!(done.changes, of.expect(&told).statements(), "{told}");
            }
        }
        for (database, before) in &state {
            let of = inspected.iter().find(|it| it.database == *database);
            let committed = update.1.get(database).is_some_and(|it| it.committed);
            let drifts = of.is_some_and(|it| it.drift);
            let is_refused = of.is_some_and(|it| !it.problems.is_empty());
            assert!(drifts || !is_refused, "{database}: {told}");
            let changed = drifts && committed;
            assert_eq!(after[database] != *before, changed, "{database}: {told}\n{after:#?}");
            assert!(!succeeded || drifts == changed, "{database}: {told}");
        }
        if !succeeded {
            self.resources[who] = before;
            return;
        }
        let again = self.inspect(&event);
        let is_done = |it: &Inspected| it.plan.is_empty() && it.problems.is_empty() && !it.drift;
        assert!(again.iter().all(is_done), "{told}\nand after it {again:#?}");
        let id = update.0.expect(&told)["PhysicalResourceId"].clone();
        id.as_str().expect("an id").clone_into(&mut resource.id);
        if let Some(before) = before.filter(|before| before.id != resource.id) {
            // It was replaced: whether that is refused does not matter.
            let _ = self.invoke(&Self::event("Delete", who, Some(&before.id), &before));
        }
        self.resources[who] = Some(resource);
    }

    fn count_actions(&mut self, inspected: &[Inspected]) {
        for statement in inspected.iter().flat_map(|it| &it.plan) {
            let action = statement["Action"].as_str().expect("an action").to_owned();
            *self.count.actions.entry(action).or_default() += 1;
        }
    }

    /// Does something by hand, where the server lets somebody do that.
    fn change(&self, database: usize, change: &ManualChange) {
        let database = &self.databases[database];
        let create = |name: &str| format!("CREATE EXTENSION {} CASCADE", quoted(name));
        let drop = |name: &str| format!("DROP EXTENSION {} CASCADE", quoted(name));
        let sql = match change {
            ManualChange::Create { name, version, schema } => {
                let of = &self.versions[*name];
                let version = of[version % of.len()].replace('\'', "''");
                format!(
                    "CREATE SCHEMA IF NOT EXISTS {schema};
                     CREATE EXTENSION {} SCHEMA {schema} VERSION '{version}' CASCADE",
                    quoted(name)
                )
            }
            ManualChange::Drop(name) => drop(name),
            ManualChange::Recreate(name) => format!("{}; {}", drop(name), create(name)),
            ManualChange::Use(name) => {
                let schema = format!(
                    "(SELECT extnamespace::regnamespace::text FROM pg_extension
                      WHERE extname = '{name}')"
                );
                format!(
                    "DO $$ BEGIN
                       EXECUTE format('CREATE TABLE public.use_{name} (it %s.{name})', {schema});
                     END $$"
                )
            }
            ManualChange::Write("keeper") => "INSERT INTO public.kept VALUES (1, true)".to_owned(),
            ManualChange::Write(_) => "INSERT INTO public.seeds VALUES (3)".to_owned(),
            ManualChange::Schema(schema) => format!("CREATE SCHEMA IF NOT EXISTS {schema}"),
            ManualChange::Plant => "
                CREATE FUNCTION public.planted(varchar, varchar) RETURNS boolean LANGUAGE sql
                    AS 'SELECT true';
                CREATE OPERATOR public.= (FUNCTION = public.planted, LEFTARG = varchar,
                                          RIGHTARG = varchar);
                ALTER OPERATOR public.= (varchar, varchar) OWNER TO planter"
                .to_owned(),
            ManualChange::Clutter => "CREATE TABLE cfn_postgres_extensions.mine (a int)".to_owned(),
            ManualChange::Restore => {
                "UPDATE cfn_postgres_extensions.claim SET home = 1, extension_oid = 1".to_owned()
            }
            ManualChange::Copy => {
                "UPDATE cfn_postgres_extensions.claim SET database = 'another'".to_owned()
            }
        };
        // In one transaction: what is refused leaves nothing.
        let _ = database.server.connect(&database.name).attempt(&sql);
    }
}

/// Compares the plans of an Inspect with that of a dry run, and with what the server logged.
fn check_plans(
    inspected: &[Inspected],
    dry_run: &Value,
    done: &BTreeMap<String, Done>,
    told: &str,
) {
    for database in DATABASES {
        let of = inspected.iter().find(|it| it.database == database);
        let planned = of.map(|it| it.plan.as_slice()).unwrap_or_default();
        let dry_run = dry_run[database].as_array().map(Vec::as_slice).unwrap_or_default();
        assert_eq!(dry_run, planned, "of the dry run in {database}: {told}");
        let statements = of.map(Inspected::statements).unwrap_or_default();
        let ran = done.get(database).map(|it| it.changes.as_slice()).unwrap_or_default();
        assert_eq!(ran, statements, "on the server in {database}: {told}");
    }
}

/// Whether a reason tells the problems of an Inspect, all of them and no others.
fn is_refusal(reason: &str, inspected: &[Inspected]) -> bool {
    let problems = inspected.iter().filter(|it| !it.problems.is_empty());
    let problems: Vec<InDatabase> = problems
        .map(|it| InDatabase { database: it.database.clone(), problems: it.problems.clone() })
        .collect();
    let of_one = problems.first().cloned().map(Error::Plan);
    let of_several = (2..=DATABASES.len()).map(|asked| {
        let (problems, is_transient) = (problems.clone(), false);
        Error::Plans { problems, asked, is_transient }
    });
    let reason = reason.split(" (log stream: ").next();
    of_one.into_iter().chain(of_several).any(|error| reason == Some(&*error.to_string()))
}
