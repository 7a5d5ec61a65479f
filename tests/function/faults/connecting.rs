//! Connecting fails: transient errors are retried, permanent ones reported in time.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::support::cluster::Cluster;
use crate::support::database::{Database, server, unique};
use crate::support::fault_injection::{FaultInjection, backends, eventually, extensions};
use crate::support::proxy::{Behavior, HandshakePhase, Proxy};
use crate::support::test_environment::TestEnvironment;
use serde_json::json;

#[test]
fn refused_and_then_up() {
    let mut faults = FaultInjection::new(60);
    faults.proxy = Proxy::closed(server().port);
    let response = faults.create_while(|| {
        faults.until_logged("refused");
        faults.proxy.open();
    });
    assert_eq!(response.succeeded().data("Changed"), "true");
    assert_eq!(faults.installed(), "hstore 1.7");
}

#[test]
fn closed_early_and_then_well() {
    let faults = FaultInjection::new(60);
    let phases = [
        HandshakePhase::Accepted,
        HandshakePhase::TlsRequest,
        HandshakePhase::Hello,
        HandshakePhase::Startup,
        HandshakePhase::Proof,
    ];
    for (round, phase) in phases.into_iter().enumerate() {
        faults.proxy.next_connections([Behavior::CutAt(phase); 2]);
        faults.create().succeeded();
        assert_eq!(faults.proxy.accepted(), 3 * (round + 1), "{phase:?}: at the third attempt");
    }
    faults.proxy.next_connections([Behavior::Reset; 2]);
    faults.create().succeeded();
    assert_eq!(faults.installed(), "hstore 1.7");
}

#[test]
fn closed_early_for_good() {
    for phase in [
        HandshakePhase::Accepted,
        HandshakePhase::Hello,
        HandshakePhase::Startup,
        HandshakePhase::Proof,
    ] {
        let faults = FaultInjection::new(6);
        faults.proxy.set_default(Behavior::CutAt(phase));
        let response = faults.create().failed(&["gave up waiting for a connection", "localhost:"]);
        assert_eq!(response.id, "Extensions-create-failed", "{phase:?}");
        assert!(faults.proxy.accepted() > 1, "{phase:?}: it was tried again");
        assert_eq!(faults.installed(), "");
    }
}

#[test]
fn a_connection_that_does_not_respond_is_replaced() {
    let faults = FaultInjection::new(60);
    faults.proxy.next_connections([Behavior::Silent]);
    faults.create().succeeded();
    assert_eq!(faults.proxy.accepted(), 2);
    assert_eq!(faults.installed(), "hstore 1.7");
}

#[test]
fn a_server_that_never_responds() {
    let faults = FaultInjection::new(6);
    faults.proxy.set_default(Behavior::Silent);
    faults.create().failed(&["gave up waiting", "no response within", "security group"]);
    assert_eq!(faults.installed(), "");
}

#[test]
fn a_slow_network() {
    let faults = FaultInjection::new(60);
    faults.proxy.set_default(Behavior::Slow(64, Duration::from_millis(5)));
    faults.create().succeeded();
    assert_eq!(faults.installed(), "hstore 1.7");
}

#[test]
fn shutting_down_refused_and_up_again() {
    let mut cluster = Cluster::start(&[]);
    let faults = FaultInjection::at(&cluster, 60);
    let last = cluster.server.connect("postgres");
    cluster.stop();
    let response = faults.create_while(|| {
        faults.until_logged("SQLSTATE 57P03");
        // The proxy has no server then, and closes each connection.
        drop(last);
        cluster.restart();
        faults.proxy.set_upstream(cluster.server.port);
    });
    response.succeeded();
    assert_eq!(extensions(&cluster.server.connect("postgres")), "hstore 1.7");
}

#[test]
fn killed_and_still_recovering() {
    // It looks for more to recover from where an archive would be, for as long as the file is there.
    let archive = "restore_command=while test -e hold; do sleep 0.05; done; false";
    let mut cluster = Cluster::start(&["wal_level=replica", "hot_standby=off", archive]);
    let faults = FaultInjection::at(&cluster, 60);
    let data = Path::new(&cluster.server.ca).with_file_name("data");
    cluster.kill();
    for name in ["recovery.signal", "hold"] {
        fs::write(data.join(name), "").expect("a file");
    }
    cluster.begin_to_restart();
    faults.proxy.set_upstream(cluster.server.port);
    let response = faults.create_while(|| {
        faults.until_logged("the database system is starting up");
        fs::remove_file(data.join("hold")).expect("the file");
    });
    response.succeeded();
    assert_eq!(extensions(&cluster.server.connect("postgres")), "hstore 1.7");
}

#[test]
fn all_connections_of_the_server_are_taken() {
    let cluster = Cluster::start(&["max_connections=4", "superuser_reserved_connections=0"]);
    let faults = FaultInjection::at(&cluster, 60);
    let mut taken: Vec<_> = (0..4).map(|_| cluster.server.connect("postgres")).collect();
    let response = faults.create_while(|| {
        faults.until_logged("SQLSTATE 53300");
        taken.pop();
    });
    response.succeeded();
    assert_eq!(extensions(&taken[0]), "hstore 1.7");
}

#[test]
fn all_connections_of_the_role_are_taken() {
    let faults = of_a_plain_role(60, "CONNECTION LIMIT 0");
    let role = role_of(&faults);
    let response = faults.create_while(|| {
        faults.until_logged("SQLSTATE 53300");
        faults.env.database.query(&format!("ALTER ROLE {role} CONNECTION LIMIT -1"));
    });
    response.succeeded();
    assert_eq!(faults.installed(), "hstore 1.7");
}

#[test]
fn all_connections_of_the_role_stay_taken() {
    let faults = of_a_plain_role(6, "CONNECTION LIMIT 0");
    faults.create().failed(&["gave up waiting", "SQLSTATE 53300", "too many connections"]);
    assert_eq!(faults.installed(), "");
}

#[test]
fn an_error_before_the_last_attempt_is_reported() {
    let faults = of_a_plain_role(6, "CONNECTION LIMIT 0");
    faults.proxy.next_connections([Behavior::Open; 2]);
    faults.proxy.set_default(Behavior::Silent);
    // The last attempt has less time than any server needs: its silence means nothing.
    faults.create().failed(&["gave up waiting", "SQLSTATE 53300"]);
}

#[test]
fn all_connections_of_the_database_are_taken() {
    let faults = of_a_plain_role(60, "");
    let name = faults.env.database.name.clone();
    let limit = |number: i32| {
        faults.env.database.query(&format!("ALTER DATABASE {name} CONNECTION LIMIT {number}"));
    };
    limit(0);
    let response = faults.create_while(|| {
        faults.until_logged("SQLSTATE 53300");
        limit(-1);
    });
    response.succeeded();
    assert_eq!(faults.installed(), "hstore 1.7");
}

#[test]
fn a_role_that_may_not_log_in_yet() {
    let faults = of_a_plain_role(60, "");
    let role = role_of(&faults);
    faults.env.database.query(&format!("ALTER ROLE {role} NOLOGIN"));
    let response = faults.create_while(|| {
        faults.until_logged("SQLSTATE 28000");
        faults.env.database.query(&format!("ALTER ROLE {role} LOGIN"));
    });
    response.succeeded();
    assert_eq!(faults.installed(), "hstore 1.7");
}

#[test]
fn a_role_that_may_never_log_in() {
    let faults = of_a_plain_role(6, "");
    let role = role_of(&faults);
    faults.env.database.query(&format!("ALTER ROLE {role} NOLOGIN"));
    faults.create().failed(&["SQLSTATE 28000", &role, "may log in"]);
    assert_eq!(faults.installed(), "");
}

#[test]
fn a_name_that_never_resolves() {
    let faults = FaultInjection::new(6);
    let properties = json!({ "PluginsMap": { "hstore": "1.7" }, "Host": "database.invalid" });
    let event = faults.env.event("Create", &properties);
    faults.deliver(&event).failed(&["gave up waiting", "database.invalid", "VPC resolves it"]);
}

#[test]
fn a_name_that_resolves_after_a_while() {
    let known = scratch("known");
    let environment = [
        ("LD_PRELOAD", delayed_resolver()),
        ("DELAYED_NAME", "database.later".to_owned()),
        ("DELAYED_NAME_FILE", known.clone()),
    ];
    let env = TestEnvironment::with(Database::create(), &environment).with_seconds(60);
    // The certificate has another name.
    let event = env.event(
        "Create",
        &json!({ "PluginsMap": { "hstore": "1.7" }, "Host": "database.later",
                 "SslMode": "verify-ca" }),
    );
    std::thread::scope(|scope| {
        let creating = scope.spawn(|| env.deliver_once(&event));
        eventually(|| env.function.output().contains("failed to lookup address"));
        std::fs::write(&known, "").expect("a file");
        creating.join().expect("a response").succeeded();
    });
    assert_eq!(env.database.installed(), "hstore 1.7");
}

#[test]
fn the_lock_is_waited_for() {
    let faults = FaultInjection::new(60);
    let holder = server().connect(&faults.env.database.name);
    holder.query(LOCK);
    let response = faults.create_while(|| {
        faults.until_locked();
        assert_eq!(faults.env.database.installed(), "");
        holder.query("ROLLBACK");
    });
    assert_eq!(response.succeeded().data("Changed"), "true");
    assert_eq!(faults.installed(), "hstore 1.7");
}

#[test]
fn the_lock_is_never_released() {
    let faults = FaultInjection::new(6);
    let holder = server().connect(&faults.env.database.name);
    holder.query("SET application_name = 'a colleague'");
    holder.query(LOCK);
    let (role, pid) = (&server().user, holder.value("SELECT pg_backend_pid()"));
    let holds = format!("role `{role}` holds it (pid {pid}, application `a colleague`)");
    let end = format!("SELECT pg_terminate_backend({pid})");
    let words = ["time ran out waiting for the lock", &holds, &end, "55P03", "nothing was"];
    let response = faults.create().failed(&words);
    assert!(!response.reason.contains("reading the catalog"), "it was the lock: {response:#?}");
    assert_eq!(response.id, "Extensions-create-failed");
    assert_eq!(faults.installed(), "");
    holder.query("ROLLBACK");
    faults.create().succeeded();
}

#[test]
fn the_lock_is_held_by_somebody_whom_the_role_may_not_see() {
    let faults = of_a_plain_role(6, "");
    let holder = server().connect(&faults.env.database.name);
    holder.query(LOCK);
    let pid = holder.value("SELECT pg_backend_pid()");
    faults.create().failed(&[&format!("(pid {pid}, application `not known`)")]);
    holder.query("ROLLBACK");
    faults.create().succeeded();
}

#[test]
fn the_catalog_cannot_be_read_in_time() {
    let faults = FaultInjection::new(6);
    let holder = server().connect(&faults.env.database.name);
    holder.query("BEGIN; LOCK TABLE pg_extension");
    let words = ["time ran out reading the catalog", "another session holds", "55P03"];
    let response = faults.create().failed(&words);
    assert!(!response.reason.contains("waiting for the lock"), "we had it: {response:#?}");
    holder.query("ROLLBACK");
    faults.create().succeeded();
}

#[test]
fn a_database_that_ends_each_session_at_once() {
    let faults = FaultInjection::new(60);
    if faults.env.database.value("SHOW server_version_num").starts_with("13") {
        println!("skipped: PostgreSQL 13 has no idle_session_timeout");
        return;
    }
    faults.env.database.set("idle_session_timeout", "1ms");
    // Nothing that is said arrives as soon as that.
    faults.proxy.set_default(Behavior::Slow(512, Duration::from_millis(5)));
    faults.create().failed(&["57P05", "timeout that is set for the database or the role"]);
    // Four at least: a session that ends while it is opened is retried like any other.
    let accepted = faults.proxy.accepted();
    assert!((4..10).contains(&accepted), "{accepted}: not until time runs out");
}

#[test]
fn no_request_leaves_a_session_open() {
    let faults = FaultInjection::new(60);
    for map in [json!({ "hstore": "1.7" }), json!({ "hstore": "9.9" }), json!({ "cube": "" })] {
        faults.deliver(&faults.event("Create", &map));
        let left = backends("");
        eventually(|| faults.env.database.value(&left) == "0");
    }
}

/// The advisory lock that all requests of this product share, for as long as a transaction.
const LOCK: &str = "BEGIN; SELECT pg_advisory_xact_lock(7162533686429448308)";

/// A test environment whose secret has a role that is no superuser: superusers may exceed every limit.
fn of_a_plain_role(seconds: u64, options: &str) -> FaultInjection {
    let faults = FaultInjection::new(seconds);
    let database = &faults.env.database;
    let role = database.role("a plain role", options);
    database.query(&format!("GRANT CREATE ON DATABASE {} TO {role}", database.name));
    faults.env.credentials(&role, "a plain role");
    faults
}

/// A file of this run's own.
fn scratch(name: &str) -> String {
    format!("{}/{}", env!("CARGO_TARGET_TMPDIR"), unique(name))
}

/// A library whose resolver learns a name late: what else there is reads the machine's own files.
fn delayed_resolver() -> String {
    let library = scratch("delayed_resolver.so");
    let built = std::process::Command::new("cc")
        .args(["-shared", "-fPIC", "-o", &library])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/delayed_resolver.c"))
        .arg("-ldl")
        .status();
    assert!(built.is_ok_and(|status| status.success()), "a C compiler");
    library
}

/// The name of that role.
fn role_of(faults: &FaultInjection) -> String {
    let database = &faults.env.database;
    database.value(&format!(
        "SELECT acl.grantee::regrole FROM pg_database, aclexplode(datacl) AS acl
         WHERE datname = '{}' AND grantee <> 0 AND grantee <> datdba",
        database.name
    ))
}
