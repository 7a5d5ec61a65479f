//! Faults on the way into the database: what passes is waited out, what stays is told in time.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::support::cluster::Cluster;
use crate::support::database::{Database, server, unique};
use crate::support::proxy::{Moment, Proxy, Way};
use crate::support::stage::Stage;
use crate::support::trouble::{Trouble, backends, eventually, extensions};
use serde_json::json;

#[test]
fn refused_and_then_up() {
    let mut trouble = Trouble::new(8);
    trouble.proxy = Proxy::closed(server().port);
    let answer = trouble.create_while(|| {
        trouble.until_logged("refused");
        trouble.proxy.open();
    });
    assert_eq!(answer.succeeded().data("Changed"), "true");
    assert_eq!(trouble.installed(), "hstore 1.7");
}

#[test]
fn closed_early_and_then_well() {
    let trouble = Trouble::new(20);
    let moments =
        [Moment::Accepted, Moment::TlsRequest, Moment::Hello, Moment::Startup, Moment::Proof];
    for (round, moment) in moments.into_iter().enumerate() {
        trouble.proxy.next([Way::CutAt(moment); 2]);
        trouble.create().succeeded();
        assert_eq!(trouble.proxy.accepted(), 3 * (round + 1), "{moment:?}: at the third attempt");
    }
    trouble.proxy.next([Way::Reset; 2]);
    trouble.create().succeeded();
    assert_eq!(trouble.installed(), "hstore 1.7");
}

#[test]
fn closed_early_for_good() {
    for moment in [Moment::Accepted, Moment::Hello, Moment::Startup, Moment::Proof] {
        let trouble = Trouble::new(3);
        trouble.proxy.usual(Way::CutAt(moment));
        let answer = trouble.create().failed(&["gave up waiting for a connection", "localhost:"]);
        assert_eq!(answer.id, "Extensions-create-failed", "{moment:?}");
        assert!(trouble.proxy.accepted() > 1, "{moment:?}: it was tried again");
        assert_eq!(trouble.installed(), "");
    }
}

#[test]
fn a_connection_that_says_nothing_is_given_up_for_another() {
    let trouble = Trouble::new(60);
    trouble.proxy.next([Way::Silent]);
    trouble.create().succeeded();
    assert_eq!(trouble.proxy.accepted(), 2);
    assert_eq!(trouble.installed(), "hstore 1.7");
}

#[test]
fn a_server_that_never_says_anything() {
    let trouble = Trouble::new(4);
    trouble.proxy.usual(Way::Silent);
    trouble.create().failed(&["gave up waiting", "no answer within", "security group"]);
    assert_eq!(trouble.installed(), "");
}

#[test]
fn a_slow_network() {
    let trouble = Trouble::new(20);
    trouble.proxy.usual(Way::Slow(64, Duration::from_millis(5)));
    trouble.create().succeeded();
    assert_eq!(trouble.installed(), "hstore 1.7");
}

#[test]
fn shutting_down_refused_and_up_again() {
    let mut cluster = Cluster::start(&[]);
    let trouble = Trouble::at(&cluster, 60);
    let last = cluster.server.connect("postgres");
    cluster.stop();
    let answer = trouble.create_while(|| {
        trouble.until_logged("SQLSTATE 57P03");
        // The proxy then has nobody to lead to, and closes what comes in.
        drop(last);
        cluster.restart();
        trouble.proxy.lead_to(cluster.server.port);
    });
    answer.succeeded();
    assert_eq!(extensions(&cluster.server.connect("postgres")), "hstore 1.7");
}

#[test]
fn killed_and_still_recovering() {
    // It looks for more to recover from where an archive would be, for as long as the file is there.
    let archive = "restore_command=while test -e hold; do sleep 0.05; done; false";
    let mut cluster = Cluster::start(&["wal_level=replica", "hot_standby=off", archive]);
    let trouble = Trouble::at(&cluster, 60);
    let data = Path::new(&cluster.server.ca).with_file_name("data");
    cluster.kill();
    for name in ["recovery.signal", "hold"] {
        fs::write(data.join(name), "").expect("a file");
    }
    cluster.begin_to_restart();
    trouble.proxy.lead_to(cluster.server.port);
    let answer = trouble.create_while(|| {
        trouble.until_logged("the database system is starting up");
        fs::remove_file(data.join("hold")).expect("the file");
    });
    answer.succeeded();
    assert_eq!(extensions(&cluster.server.connect("postgres")), "hstore 1.7");
}

#[test]
fn all_connections_of_the_server_are_taken() {
    let cluster = Cluster::start(&["max_connections=4", "superuser_reserved_connections=0"]);
    let trouble = Trouble::at(&cluster, 20);
    let mut taken: Vec<_> = (0..4).map(|_| cluster.server.connect("postgres")).collect();
    let answer = trouble.create_while(|| {
        trouble.until_logged("SQLSTATE 53300");
        taken.pop();
    });
    answer.succeeded();
    assert_eq!(extensions(&taken[0]), "hstore 1.7");
}

#[test]
fn all_connections_of_the_role_are_taken() {
    let trouble = of_a_plain_role(8, "CONNECTION LIMIT 0");
    let role = role_of(&trouble);
    let answer = trouble.create_while(|| {
        trouble.until_logged("SQLSTATE 53300");
        trouble.stage.database.query(&format!("ALTER ROLE {role} CONNECTION LIMIT -1"));
    });
    answer.succeeded();
    assert_eq!(trouble.installed(), "hstore 1.7");
}

#[test]
fn all_connections_of_the_role_stay_taken() {
    let trouble = of_a_plain_role(3, "CONNECTION LIMIT 0");
    trouble.create().failed(&["gave up waiting", "SQLSTATE 53300", "too many connections"]);
    assert_eq!(trouble.installed(), "");
}

#[test]
fn what_was_heard_before_the_last_attempt_is_told() {
    let trouble = of_a_plain_role(4, "CONNECTION LIMIT 0");
    trouble.proxy.next([Way::Open; 2]);
    trouble.proxy.usual(Way::Silent);
    // The last attempt has less time than any server needs: its silence means nothing.
    trouble.create().failed(&["gave up waiting", "SQLSTATE 53300"]);
}

#[test]
fn all_connections_of_the_database_are_taken() {
    let trouble = of_a_plain_role(8, "");
    let name = trouble.stage.database.name.clone();
    let limit = |number: i32| {
        trouble.stage.database.query(&format!("ALTER DATABASE {name} CONNECTION LIMIT {number}"));
    };
    limit(0);
    let answer = trouble.create_while(|| {
        trouble.until_logged("SQLSTATE 53300");
        limit(-1);
    });
    answer.succeeded();
    assert_eq!(trouble.installed(), "hstore 1.7");
}

#[test]
fn a_role_that_is_not_let_in_yet() {
    let trouble = of_a_plain_role(8, "");
    let role = role_of(&trouble);
    trouble.stage.database.query(&format!("ALTER ROLE {role} NOLOGIN"));
    let answer = trouble.create_while(|| {
        trouble.until_logged("SQLSTATE 28000");
        trouble.stage.database.query(&format!("ALTER ROLE {role} LOGIN"));
    });
    answer.succeeded();
    assert_eq!(trouble.installed(), "hstore 1.7");
}

#[test]
fn a_role_that_is_never_let_in() {
    let trouble = of_a_plain_role(3, "");
    let role = role_of(&trouble);
    trouble.stage.database.query(&format!("ALTER ROLE {role} NOLOGIN"));
    trouble.create().failed(&["SQLSTATE 28000", &role, "may log in"]);
    assert_eq!(trouble.installed(), "");
}

#[test]
fn a_name_that_never_resolves() {
    let trouble = Trouble::new(3);
    let properties = json!({ "PluginsMap": { "hstore": "1.7" }, "Host": "database.invalid" });
    let event = trouble.stage.event("Create", &properties);
    trouble.deliver(&event).failed(&["gave up waiting", "database.invalid", "VPC resolves it"]);
}

#[test]
fn a_name_that_resolves_after_a_while() {
    let known = scratch("known");
    let environment = [
        ("LD_PRELOAD", late_resolver()),
        ("LATE_NAME", "database.later".to_owned()),
        ("LATE_NAME_FILE", known.clone()),
    ];
    let stage = Stage::with(Database::create(), &environment).with_seconds(20);
    // The certificate has another name.
    let event = stage.event(
        "Create",
        &json!({ "PluginsMap": { "hstore": "1.7" }, "Host": "database.later",
                 "SslMode": "verify-ca" }),
    );
    std::thread::scope(|scope| {
        let creating = scope.spawn(|| stage.deliver_once(&event));
        eventually(|| stage.function.output().contains("failed to lookup address"));
        std::fs::write(&known, "").expect("a file");
        creating.join().expect("an answer").succeeded();
    });
    assert_eq!(stage.database.installed(), "hstore 1.7");
}

#[test]
fn the_lock_is_waited_for() {
    let trouble = Trouble::new(8);
    let holder = server().connect(&trouble.stage.database.name);
    holder.query(LOCK);
    let answer = trouble.create_while(|| {
        trouble.until_locked();
        assert_eq!(trouble.stage.database.installed(), "");
        holder.query("ROLLBACK");
    });
    assert_eq!(answer.succeeded().data("Changed"), "true");
    assert_eq!(trouble.installed(), "hstore 1.7");
}

#[test]
fn the_lock_is_never_released() {
    let trouble = Trouble::new(4);
    let holder = server().connect(&trouble.stage.database.name);
    holder.query("SET application_name = 'a colleague'");
    holder.query(LOCK);
    let (role, pid) = (&server().user, holder.value("SELECT pg_backend_pid()"));
    let holds = format!("role `{role}` holds it (pid {pid}, application `a colleague`)");
    let end = format!("SELECT pg_terminate_backend({pid})");
    let words = ["time ran out waiting for the lock", &holds, &end, "55P03", "nothing was"];
    let answer = trouble.create().failed(&words);
    assert!(!answer.reason.contains("reading the catalog"), "it was the lock: {answer:#?}");
    assert_eq!(answer.id, "Extensions-create-failed");
    assert_eq!(trouble.installed(), "");
    holder.query("ROLLBACK");
    trouble.create().succeeded();
}

#[test]
fn the_lock_is_held_by_somebody_whom_the_role_may_not_see() {
    let trouble = of_a_plain_role(4, "");
    let holder = server().connect(&trouble.stage.database.name);
    holder.query(LOCK);
    let pid = holder.value("SELECT pg_backend_pid()");
    trouble.create().failed(&[&format!("(pid {pid}, application `not known`)")]);
    holder.query("ROLLBACK");
    trouble.create().succeeded();
}

#[test]
fn the_catalog_cannot_be_read_in_time() {
    let trouble = Trouble::new(4);
    let holder = server().connect(&trouble.stage.database.name);
    holder.query("BEGIN; LOCK TABLE pg_extension");
    let words = ["time ran out reading the catalog", "another session holds", "55P03"];
    let answer = trouble.create().failed(&words);
    assert!(!answer.reason.contains("waiting for the lock"), "we had it: {answer:#?}");
    holder.query("ROLLBACK");
    trouble.create().succeeded();
}

#[test]
fn a_database_that_ends_each_session_at_once() {
    let trouble = Trouble::new(60);
    trouble.stage.database.set("idle_session_timeout", "1ms");
    // Nothing that is said arrives as soon as that.
    trouble.proxy.usual(Way::Slow(512, Duration::from_millis(5)));
    trouble.create().failed(&["57P05", "timeout that is set for the database or the role"]);
    assert_eq!(trouble.proxy.accepted(), 4, "it is tried again, but not until time runs out");
}

#[test]
fn no_visit_leaves_a_session_behind() {
    let trouble = Trouble::new(20);
    for map in [json!({ "hstore": "1.7" }), json!({ "hstore": "9.9" }), json!({ "cube": "" })] {
        trouble.deliver(&trouble.event("Create", &map));
        let left = backends("");
        eventually(|| trouble.stage.database.value(&left) == "0");
    }
}

/// The advisory lock that all requests of this product share, for as long as a transaction.
const LOCK: &str = "BEGIN; SELECT pg_advisory_xact_lock(7162533686429448308)";

/// A stage whose secret has a role that is no superuser: those are let in past every limit.
fn of_a_plain_role(seconds: u64, options: &str) -> Trouble {
    let trouble = Trouble::new(seconds);
    let database = &trouble.stage.database;
    let role = database.role("a plain role", options);
    database.query(&format!("GRANT CREATE ON DATABASE {} TO {role}", database.name));
    trouble.stage.credentials(&role, "a plain role");
    trouble
}

/// A file of this run's own.
fn scratch(name: &str) -> String {
    format!("{}/{}", env!("CARGO_TARGET_TMPDIR"), unique(name))
}

/// A library whose resolver learns a name late: what else there is reads the machine's own files.
fn late_resolver() -> String {
    let library = scratch("late_name.so");
    let built = std::process::Command::new("cc")
        .args(["-shared", "-fPIC", "-o", &library])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/late_name.c"))
        .arg("-ldl")
        .status();
    assert!(built.is_ok_and(|status| status.success()), "a C compiler");
    library
}

/// The name of that role.
fn role_of(trouble: &Trouble) -> String {
    let database = &trouble.stage.database;
    database.value(&format!(
        "SELECT acl.grantee::regrole FROM pg_database, aclexplode(datacl) AS acl
         WHERE datname = '{}' AND grantee <> 0 AND grantee <> datdba",
        database.name
    ))
}
