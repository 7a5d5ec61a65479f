//! A Delete under `Drop`: what is gone, other ids, and a Create that still runs.

use crate::support::barrier::Barrier;
use crate::support::database::{Database, Session, server, unique};
use crate::support::fault_injection::{backends, eventually};
use crate::support::proxy::Proxy;
use crate::support::resource::{Resource, claims};
use crate::support::secrets::Fault;
use crate::support::test_environment::{LOGICAL_ID, SECRET, TestEnvironment};
use crate::support::unreachable_address::UnreachableAddress;
use serde_json::{Value, json};

const MAP: fn() -> Value = || json!({ "hstore": "1.7" });

/// A database without sessions.
struct UnresponsiveDatabase {
    admin: Session,
    name: String,
}

impl UnresponsiveDatabase {
    fn create() -> Self {
        let (admin, name) = (server().connect("postgres"), unique("unresponsive"));
        admin.query(&format!("CREATE DATABASE {name}"));
        Self { admin, name }
    }

    /// From now on the server does not respond to connections.
    fn stop_responding(&self) {
        self.admin.query(&format!("BEGIN; ALTER DATABASE {0} RENAME TO {0}_renamed", self.name));
    }
}

impl Drop for UnresponsiveDatabase {
    fn drop(&mut self) {
        let _ = self.admin.attempt("ROLLBACK");
        let _ = self.admin.attempt(&format!("DROP DATABASE {} WITH (FORCE)", self.name));
    }
}

/// A resource that has created `hstore` under `Drop`.
fn created(env: &TestEnvironment) -> Resource<'_> {
    let mut it = Resource::new(env, "a", "Drop");
    it.create(&MAP()).succeeded();
    it
}

#[test]
fn the_database_is_gone() {
    let env = TestEnvironment::new();
    let gone = Database::create();
    let mut it = Resource::new(&env, "a", "Drop");
    let both = json!([env.database.name, gone.name]);
    it.deliver("Create", &json!({ "PluginsMap": MAP(), "Databases": both })).succeeded();
    drop(gone);
    let response = it.delete().succeeded();
    assert!(response.reason.contains("dropped hstore 1.7"), "{response:#?}");
    assert_eq!(env.database.installed(), "", "the other one was cleared");
    it.deliver("Delete", &json!({ "Databases": "no_such_database" })).succeeded();
}

#[test]
fn the_secret_is_gone() {
    let env = TestEnvironment::new();
    let mut it = created(&env);
    let full = env.secret_of(&server().user, &server().password);
    let mut stripped = full.clone();
    for key in ["host", "port"] {
        stripped.as_object_mut().expect("a secret").remove(key);
    }
    env.secrets.put(SECRET, "AWSCURRENT", stripped.to_string());
    let response = it.delete().succeeded();
    assert!(response.reason.contains("`Host`"), "what is missing: {response:#?}");
    env.secrets.remove(SECRET);
    let response = it.delete().succeeded();
    assert!(response.reason.contains("ResourceNotFoundException"), "{response:#?}");
    assert_eq!(env.database.installed(), "hstore 1.7", "the server could not be reached");
    env.secrets.put(SECRET, "AWSCURRENT", full.to_string());
    env.secrets.fail(SECRET, [Fault::Error("AccessDeniedException")]);
    it.delete().succeeded();
    assert_eq!(env.database.installed(), "", "a denied access may pass, and did");
}

#[test]
fn the_server_is_gone() {
    let env = TestEnvironment::new();
    let mut it = created(&env);
    let proxy = Proxy::closed(server().port);
    let event = |it: &Resource, port: u16| it.event("Delete", &json!({ "Port": port }));
    let unreachable = UnreachableAddress::new();
    let silent = format!("localhost:{}", unreachable.port);
    let cases = [
        (event(&it, proxy.port), "refused"),
        (event(&it, unreachable.port), silent.as_str()),
        (it.event("Delete", &json!({ "Host": "no-such-host.invalid" })), "no-such-host.invalid"),
    ];
    std::thread::scope(|scope| {
        for (event, why) in &cases {
            let (env, function) = (&env, env.another_function());
            scope.spawn(move || {
                let response = env.deliver_to(&function, event).succeeded();
                assert!(response.reason.contains("there is no server to ask"), "{response:#?}");
                assert!(response.reason.contains(why), "{response:#?}");
                // The whole budget would be enough for many more.
                let attempts = response.log.iter().filter(|line| line.contains(why)).count();
                assert!(attempts < 15, "{attempts}: {response:#?}");
            });
        }
    });
    assert_eq!(env.database.installed(), "hstore 1.7");
    it.delete().succeeded();
    assert_eq!(env.database.installed(), "");
}

#[test]
fn a_server_that_is_there_and_refuses_us_is_not_gone() {
    let env = TestEnvironment::new();
    let mut it = created(&env);
    let full = env.secret_of(&server().user, &server().password);
    env.credentials(&server().user, "a-wrong-password");
    it.delete().failed(&["28P01"]);
    env.secrets.put(SECRET, "AWSCURRENT", full.to_string());
    it.delete().succeeded();
    assert_eq!(env.database.installed(), "");
}

#[test]
fn a_delete_goes_by_the_claims_and_not_by_its_map() {
    let env = TestEnvironment::new();
    let other = Database::create();
    let mut it = Resource::new(&env, "a", "Drop");
    let both = json!([env.database.name, other.name]);
    it.deliver("Create", &json!({ "PluginsMap": MAP(), "Databases": both })).succeeded();
    let odd = json!({ "PluginsMap": { "citext": 1.1, "no_such": "x" }, "Colour": "blue",
                      "Databases": [env.database.name], "DowngradePolicy": 7 });
    it.deliver("Delete", &odd).succeeded();
    assert_eq!(env.database.installed(), "");
    assert_eq!(other.installed(), "hstore 1.7", "its properties do not name that one");
    assert_eq!(claims(&other), "a hstore created");
}

#[test]
fn a_delete_connects_to_the_databases_of_its_properties_only() {
    let env = TestEnvironment::new().with_seconds(20);
    let mut it = created(&env);
    let unresponsive = UnresponsiveDatabase::create();
    unresponsive.stop_responding();
    let response = it.delete().succeeded();
    assert!(response.reason.contains("dropped hstore 1.7"), "{response:#?}");
    assert_eq!(env.database.installed(), "");
}

#[test]
fn a_database_that_does_not_respond_keeps_no_other_from_being_cleared() {
    let env = TestEnvironment::new();
    let unresponsive = UnresponsiveDatabase::create();
    let mut it = Resource::new(&env, "a", "Drop");
    let both = json!([unresponsive.name, env.database.name]);
    it.deliver("Create", &json!({ "PluginsMap": MAP(), "Databases": both })).succeeded();
    unresponsive.stop_responding();
    let response = env.deliver_once(&it.event("Delete", &it.properties.clone())).succeeded();
    assert!(response.reason.contains("dropped hstore 1.7"), "{response:#?}");
    let log = response.log.join("\n");
    assert!(log.contains("skipped"), "{log}");
    assert_eq!(env.database.installed(), "");
    unresponsive.admin.query("ROLLBACK");
    let hstore = "SELECT count(*) FROM pg_extension WHERE extname = 'hstore'";
    assert_eq!(server().connect(&unresponsive.name).value(hstore), "1");
    it.delete().succeeded();
    assert_eq!(server().connect(&unresponsive.name).value(hstore), "0", "by a later one");
}

#[test]
fn under_retain_no_server_is_contacted() {
    let env = TestEnvironment::new();
    let mut it = created(&env);
    let calls = env.secrets.calls().len();
    for properties in [
        json!({ "RemovalPolicy": "Retain" }),
        json!({ "RemovalPolicy": "drop" }),
        json!({ "DryRun": true }),
    ] {
        let event = it.event("Delete", &properties);
        env.deliver(&event).succeeded();
    }
    let failed = format!("{LOGICAL_ID}-create-failed");
    let issued = std::mem::replace(&mut it.id, failed);
    it.delete().succeeded();
    assert_eq!(env.secrets.calls().len(), calls, "no secret was read");
    assert_eq!(env.database.installed(), "hstore 1.7");
    it.id = issued;
    it.delete().succeeded();
    assert_eq!(env.database.installed(), "");
}

#[test]
fn with_an_id_that_was_never_issued() {
    for id in ["stack-Extensions-0A1B2C3D4E5F", "Extensions-create-unknown"] {
        let env = TestEnvironment::new();
        let mut stranger = Resource::new(&env, "b", "Drop");
        stranger.create(&json!({ "citext": "" })).succeeded();
        let mut it = created(&env);
        id.clone_into(&mut it.id);
        it.delete().succeeded();
        assert_eq!(
            env.database.installed(),
            env.with_default_versions("citext 1.6"),
            "{id}: another stack's stays"
        );
        assert_eq!(claims(&env.database), "b citext created");
    }
}

#[test]
fn with_an_id_of_another_server() {
    let env = TestEnvironment::new();
    let mut it = created(&env);
    "Extensions-01234567".clone_into(&mut it.id);
    it.delete().succeeded();
    assert_eq!(env.database.installed(), "hstore 1.7");
}

#[test]
fn while_the_create_still_runs() {
    for several in [false, true] {
        let env = TestEnvironment::new();
        let other = Database::create();
        let both = json!([other.name, env.database.name]);
        let databases = if several { both } else { Value::Null };
        env.run_after_create("hstore", &Barrier::statement());
        let barrier = Barrier::close(&env.database);
        let mut it = Resource::new(&env, "a", "Drop");
        let create = it.event("Create", &json!({ "PluginsMap": MAP() }));
        it.id = "stack-Extensions-0A1B2C3D4E5F".to_owned();
        let delete = it.event("Delete", &json!({ "PluginsMap": MAP(), "Databases": databases }));
        let other = env.another_function();
        std::thread::scope(|scope| {
            let creating = scope.spawn(|| env.deliver_once(&create).succeeded());
            barrier.until_reached();
            let deleting = scope.spawn(|| env.deliver_to(&other, &delete).succeeded());
            // The Create waits for the barrier, and the Delete for the Create.
            let waiting = backends("AND wait_event_type = 'Lock'");
            eventually(|| env.database.value(&waiting) == "2");
            barrier.open();
            creating.join().expect("a response");
            deleting.join().expect("a response");
        });
        assert_eq!(env.database.installed(), "");
        assert_eq!(claims(&env.database), "none");
    }
}
