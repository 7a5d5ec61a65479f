//! Faults in the middle of the work: what was committed is found, what was not is done again, and
//! what nobody can know is told so.

use std::time::Duration;

use crate::support::answer::Answer;
use crate::support::cluster::Cluster;
use crate::support::database::{Database, Session, server};
use crate::support::proxy::Direction;
use crate::support::trouble::{Trouble, backends, eventually, extensions};
use serde_json::json;

/// What the reason of an answer says where the outcome is not known.
const UNKNOWN: &[&str] = &["connection was lost", "not known", "deploy again"];

/// Panics unless the id is one that was issued: something may have been left behind.
#[track_caller]
fn may_have_left_something(answer: &Answer) {
    let hash = answer.id.strip_prefix("Extensions-").unwrap_or_default();
    assert!(hash.len() == 8 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()), "{answer:#?}");
}

#[test]
fn cut_before_the_changes_reach_the_server() {
    let trouble = Trouble::new(8);
    let holder = server().connect(&trouble.stage.database.name);
    holder.query("BEGIN; SELECT pg_advisory_xact_lock(7162533686429448308)");
    let answer = trouble.create_while(|| {
        trouble.until_locked();
        trouble.proxy.hold(Direction::ToServer);
        holder.query("ROLLBACK");
        eventually(|| trouble.proxy.held(Direction::ToServer) == 1);
        trouble.proxy.cut();
        trouble.proxy.let_through();
    });
    assert_eq!(answer.succeeded().data("Changes"), "created hstore 1.7");
    assert_eq!(trouble.installed(), "hstore 1.7");
}

#[test]
fn cut_while_the_server_is_at_work() {
    let trouble = Trouble::new(12);
    trouble.take_long(1.0);
    let answer = trouble.create_while(|| {
        trouble.until_creating();
        trouble.proxy.cut();
    });
    let answer = answer.succeeded();
    assert_eq!(answer.data("Changes"), "created hstore 1.7");
    assert_eq!(answer.data("Before"), "plpgsql 1.0", "as it was before all of it");
    assert_eq!(trouble.installed(), "hstore 1.7");
}

#[test]
fn cut_when_it_is_committed_and_nobody_was_told() {
    let trouble = Trouble::new(12);
    trouble.commit_slowly(0.3);
    let answer = trouble.create_while(|| {
        trouble.until_creating();
        trouble.proxy.hold(Direction::ToClient);
        eventually(|| trouble.stage.database.installed() == "hstore 1.7");
        trouble.proxy.cut();
        trouble.proxy.let_through();
    });
    let answer = answer.succeeded();
    assert_eq!(answer.data("Changes"), "created hstore 1.7", "it was us");
    assert_eq!(answer.data("Before"), "plpgsql 1.0");
    assert_eq!(answer.data("Changed"), "true");
    assert_eq!(trouble.installed(), "hstore 1.7");
}

#[test]
fn cut_again_and_again() {
    let trouble = Trouble::new(20);
    trouble.take_long(0.3);
    let answer = trouble.create_while(|| {
        for _ in 0..3 {
            trouble.until_creating();
            trouble.terminate();
            trouble.until_nobody_is_left();
        }
    });
    assert_eq!(answer.succeeded().data("Changes"), "created hstore 1.7");
    assert_eq!(trouble.installed(), "hstore 1.7");
}

#[test]
fn cut_and_never_up_again() {
    let trouble = Trouble::new(5);
    trouble.take_long(0.3);
    let answer = trouble.create_while(|| {
        trouble.until_creating();
        trouble.proxy.close();
        trouble.proxy.cut();
    });
    let answer = answer.failed(&["gave up waiting for a connection"]);
    assert_eq!(answer.id, "Extensions-create-failed");
    assert_eq!(trouble.installed(), "", "nobody had sent the COMMIT");
    trouble.proxy.open();
    trouble.create().succeeded();
    assert_eq!(trouble.installed(), "hstore 1.7");
}

#[test]
fn cut_in_commit_and_never_up_again() {
    let trouble = Trouble::new(5);
    trouble.commit_slowly(0.3);
    let answer = trouble.create_while(|| {
        trouble.until_creating();
        trouble.proxy.close();
        trouble.proxy.cut();
    });
    may_have_left_something(&answer.failed(UNKNOWN));
    assert!(["", "hstore 1.7"].contains(&trouble.installed().as_str()), "all of it, or nothing");
    trouble.proxy.open();
    trouble.create().succeeded();
    assert_eq!(trouble.installed(), "hstore 1.7");
}

#[test]
fn the_network_is_gone_while_the_server_is_at_work() {
    let trouble = Trouble::new(6);
    trouble.take_long(600.0);
    let answer = trouble.create_while(|| {
        trouble.until_creating();
        trouble.proxy.black_out();
    });
    let answer =
        answer.failed(&["time ran out", "CREATE EXTENSION", "silent", "nothing was changed"]);
    assert_eq!(answer.id, "Extensions-create-failed");
    // The server ends it by itself, though nobody told it to.
    let sleeping = backends("AND wait_event = 'PgSleep'");
    eventually(|| trouble.stage.database.value(&sleeping) == "0");
    trouble.proxy.cut();
    assert_eq!(trouble.installed(), "");
}

#[test]
fn the_network_is_gone_while_the_answer_is_under_way() {
    let trouble = Trouble::new(6);
    trouble.commit_slowly(0.3);
    let answer = trouble.create_while(|| {
        trouble.until_creating();
        trouble.proxy.black_out();
    });
    may_have_left_something(&answer.failed(UNKNOWN));
    trouble.proxy.cut();
    assert_eq!(trouble.installed(), "hstore 1.7", "committed, and the answer did not deny it");
    trouble.proxy.let_through();
    assert_eq!(trouble.create().succeeded().data("Changed"), "false", "the replay settles it");
}

#[test]
fn the_network_is_gone_while_the_second_of_two_databases_is_changed() {
    let trouble = Trouble::new(6);
    trouble.commit_slowly(600.0);
    let quick = Database::create();
    let slow = &trouble.stage.database;
    let mut event = trouble.create_event();
    event["ResourceProperties"]["Databases"] = json!([quick.name, slow.name]);
    let answer = std::thread::scope(|scope| {
        let creating = scope.spawn(|| trouble.deliver(&event));
        trouble.until_creating();
        eventually(|| quick.installed() == "hstore 1.7");
        trouble.proxy.black_out();
        creating.join().expect("an answer")
    });
    may_have_left_something(&answer.failed(UNKNOWN).failed(&[&quick.name, &slow.name]));
    trouble.proxy.cut();
    assert_eq!(trouble.installed(), "");
    assert_eq!(quick.installed(), "hstore 1.7", "as the reason says");
}

#[test]
fn the_network_is_gone_before_anything_is_changed() {
    let trouble = Trouble::new(4);
    let holder = server().connect(&trouble.stage.database.name);
    holder.query("BEGIN; SELECT pg_advisory_xact_lock(7162533686429448308)");
    let answer = trouble.create_while(|| {
        trouble.until_locked();
        trouble.proxy.black_out();
    });
    let answer = answer.failed(&["time ran out", "waiting for the lock", "silent"]);
    assert_eq!(answer.id, "Extensions-create-failed");
    holder.query("ROLLBACK");
    // Nobody ended the session, and the server does not wait for it.
    assert_eq!(trouble.installed(), "");
}

#[test]
fn the_network_is_gone_when_all_is_done() {
    let trouble = Trouble::new(6);
    trouble.commit_slowly(0.5);
    let answer = trouble.create_while(|| {
        trouble.until_creating();
        trouble.proxy.hold(Direction::ToServer);
    });
    assert_eq!(answer.succeeded().data("Changed"), "true");
    eventually(|| trouble.proxy.held(Direction::ToServer) == 1);
    let idle = backends("AND state = 'idle'");
    assert_eq!(trouble.stage.database.value(&idle), "1", "the server was not told to hang up");
    // It does so by itself; before PostgreSQL 14 it had to wait for TCP to give up.
    if trouble.stage.database.value("SHOW server_version_num").starts_with("13") {
        trouble.proxy.cut();
    }
    assert_eq!(trouble.installed(), "hstore 1.7");
}

#[test]
fn the_session_is_ended_by_an_administrator() {
    let trouble = Trouble::new(12);
    let holder = server().connect(&trouble.stage.database.name);
    holder.query("BEGIN; SELECT pg_advisory_xact_lock(7162533686429448308)");
    let answer = trouble.create_while(|| {
        trouble.until_locked();
        trouble.terminate();
        trouble.until_logged("57P01");
        holder.query("ROLLBACK");
    });
    assert_eq!(answer.succeeded().data("Changed"), "true");
    assert_eq!(trouble.installed(), "hstore 1.7");
}

#[test]
fn the_statement_is_cancelled_by_an_administrator() {
    let trouble = Trouble::new(12);
    trouble.take_long(60.0);
    let answer = trouble.create_while(|| {
        trouble.until_creating();
        trouble.stage.database.query(
            "SELECT pg_cancel_backend(pid) FROM pg_stat_activity
             WHERE wait_event = 'PgSleep' AND datname = current_database()",
        );
    });
    let answer = answer.failed(&["57014", "user request", "nothing was changed"]);
    assert_eq!(answer.id, "Extensions-create-failed");
    assert!(!answer.reason.contains("time ran out"), "it did not: {}", answer.reason);
    assert_eq!(trouble.installed(), "");
}

#[test]
fn a_statement_that_cannot_be_cancelled() {
    let trouble = Trouble::new(4);
    // A server looks at no signal while it reads from a program.
    trouble.stage.refuse(
        "hstore",
        "CREATE TEMPORARY TABLE nothing (line text);
         COPY nothing FROM PROGRAM 'trap \"\" INT; sleep 6'",
    );
    let answer = trouble.create().failed(&["time ran out", "silent", "nothing was changed"]);
    assert_eq!(answer.id, "Extensions-create-failed");
    assert_eq!(trouble.installed(), "");
}

#[test]
fn a_deadlock() {
    let trouble = Trouble::new(12);
    let other = server().connect(&trouble.stage.database.name);
    // The server looks for deadlocks on the function's account.
    other.query("SET deadlock_timeout = '1min'; BEGIN");
    other.query("LOCK TABLE pg_catalog.pg_extension IN SHARE MODE");
    let answer = trouble.create_while(|| {
        trouble.until_locked();
        other.query("SELECT pg_advisory_xact_lock(7162533686429448308)");
        trouble.until_logged("40P01");
        other.query("COMMIT");
    });
    assert_eq!(answer.succeeded().data("Changes"), "created hstore 1.7");
    assert_eq!(trouble.installed(), "hstore 1.7");
}

#[test]
fn somebody_else_creates_the_same_extension() {
    let trouble = Trouble::new(12);
    let other = server().connect(&trouble.stage.database.name);
    other.query("BEGIN; CREATE EXTENSION hstore VERSION '1.7'");
    let answer = trouble.create_while(|| {
        trouble.until_locked();
        other.query("COMMIT");
    });
    assert_eq!(answer.succeeded().data("Changed"), "false", "it is there, whoever did it");
    assert_eq!(trouble.installed(), "hstore 1.7");
}

#[test]
fn somebody_else_is_at_the_same_extension_and_stays_there() {
    let trouble = Trouble::new(4);
    trouble.stage.database.query("CREATE EXTENSION hstore VERSION '1.4'");
    let other = server().connect(&trouble.stage.database.name);
    other.query("BEGIN; ALTER EXTENSION hstore UPDATE TO '1.5'");
    let words =
        ["time ran out in `ALTER EXTENSION", "another session holds", "55P03", "nothing was"];
    trouble.create().failed(&words);
    other.query("ROLLBACK");
    assert_eq!(trouble.installed(), "hstore 1.4");
}

#[test]
fn the_disk_is_full() {
    let trouble = Trouble::new(8);
    trouble.stage.refuse("citext", "RAISE EXCEPTION SQLSTATE '53100' USING MESSAGE = 'disk full'");
    let map = json!({ "citext": "1.6", "hstore": "1.7" });
    let answer = trouble.deliver(&trouble.event("Create", &map));
    answer.failed(&["SQLSTATE 53100", "citext", "nothing was changed"]);
    assert_eq!(trouble.installed(), "");
}

#[test]
fn the_server_is_killed_and_comes_back() {
    let mut cluster = Cluster::start(&[]);
    let trouble = Trouble::at(&cluster, 60);
    let admin = cluster.server.connect("postgres");
    slow_hstore(&admin, 1.0);
    let answer = trouble.create_while(|| {
        until_creating(&cluster);
        cluster.kill();
        cluster.restart();
        trouble.proxy.lead_to(cluster.server.port);
    });
    assert_eq!(answer.succeeded().data("Changes"), "created hstore 1.7");
    assert_eq!(extensions(&cluster.server.connect("postgres")), "hstore 1.7");
}

#[test]
fn the_server_is_killed_and_stays_down() {
    let mut cluster = Cluster::start(&[]);
    let trouble = Trouble::at(&cluster, 6);
    let admin = cluster.server.connect("postgres");
    slow_hstore(&admin, 60.0);
    let answer = trouble.create_while(|| {
        until_creating(&cluster);
        cluster.kill();
    });
    let answer = answer.failed(&["gave up waiting for a connection"]);
    assert_eq!(answer.id, "Extensions-create-failed");
    cluster.restart();
    let admin = cluster.server.connect("postgres");
    assert_eq!(extensions(&admin), "", "what was not committed is gone");
    slow_hstore(&admin, 0.0);
    trouble.proxy.lead_to(cluster.server.port);
    assert_eq!(trouble.create().succeeded().data("Changed"), "true");
}

#[test]
fn one_backend_crashes_and_takes_all_sessions_along() {
    let cluster = Cluster::start(&[]);
    let trouble = Trouble::at(&cluster, 60);
    let admin = cluster.server.connect("postgres");
    slow_hstore(&admin, 1.0);
    let bystander = admin.value("SELECT pg_backend_pid()");
    let answer = trouble.create_while(|| {
        until_creating(&cluster);
        let killed = std::process::Command::new("kill").args(["-SEGV", &bystander]).status();
        assert!(killed.is_ok_and(|status| status.success()));
    });
    assert_eq!(answer.succeeded().data("Changes"), "created hstore 1.7");
    assert_eq!(extensions(&cluster.server.connect("postgres")), "hstore 1.7");
}

/// Lets `hstore` take this long to create in a private cluster.
fn slow_hstore(admin: &Session, seconds: f32) {
    let body = format!("BEGIN PERFORM pg_sleep({seconds}); END");
    let slow = format!(
        "CREATE OR REPLACE FUNCTION public.slow() RETURNS event_trigger LANGUAGE plpgsql
           AS '{body}';
         DROP EVENT TRIGGER IF EXISTS slow;
         CREATE EVENT TRIGGER slow ON ddl_command_end WHEN TAG IN ('CREATE EXTENSION')
           EXECUTE FUNCTION public.slow()"
    );
    admin.query(&slow);
}

/// Waits until the function is creating `hstore` there.
fn until_creating(cluster: &Cluster) {
    let admin = cluster.server.connect("postgres");
    let sleeping = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
    eventually(|| admin.value(sleeping) != "0");
    std::thread::sleep(Duration::from_millis(10));
}
