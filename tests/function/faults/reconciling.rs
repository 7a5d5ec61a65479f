//! Faults while a database is changed: what was committed is found, what was not is done again, and
//! an outcome that is not known is reported as such.

use crate::support::barrier::Barrier;
use crate::support::cluster::Cluster;
use crate::support::database::{Database, server};
use crate::support::fault_injection::{FaultInjection, backends, eventually, extensions};
use crate::support::proxy::Direction;
use crate::support::response::Response;
use serde_json::json;

/// What the reason of a response says where the outcome is not known.
const UNKNOWN: &[&str] = &["connection was lost", "not known", "deploy again"];

/// Panics unless the id is one that was issued: something may have been left behind.
#[track_caller]
fn may_have_left_something(response: &Response) {
    let hash = response.id.strip_prefix("Extensions-").unwrap_or_default();
    assert!(hash.len() == 8 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()), "{response:#?}");
}

#[test]
fn cut_before_the_changes_reach_the_server() {
    let faults = FaultInjection::new(60);
    let holder = server().connect(&faults.env.database.name);
    holder.query("BEGIN; SELECT pg_advisory_xact_lock(7162533686429448308)");
    let response = faults.create_while(|| {
        faults.until_locked();
        faults.proxy.hold(Direction::ToServer);
        holder.query("ROLLBACK");
        eventually(|| faults.proxy.held(Direction::ToServer) == 1);
        faults.proxy.cut();
        faults.proxy.release();
    });
    assert_eq!(response.succeeded().data("Changes"), "created hstore 1.7");
    assert_eq!(faults.installed(), "hstore 1.7");
}

#[test]
fn cut_while_the_server_makes_the_changes() {
    let faults = FaultInjection::new(60);
    let barrier = faults.pause_create();
    let response = faults.create_while(|| {
        barrier.until_reached();
        faults.proxy.cut();
        barrier.open();
    });
    let response = response.succeeded();
    assert_eq!(response.data("Changes"), "created hstore 1.7");
    assert_eq!(response.data("Before"), "plpgsql 1.0", "as it was before all of it");
    assert_eq!(faults.installed(), "hstore 1.7");
}

#[test]
fn cut_when_it_is_committed_and_the_reply_is_lost() {
    let faults = FaultInjection::new(60);
    let barrier = faults.pause_commit();
    let response = faults.create_while(|| {
        barrier.until_reached();
        faults.proxy.hold(Direction::ToClient);
        barrier.open();
        eventually(|| faults.env.database.installed() == "hstore 1.7");
        faults.proxy.cut();
        faults.proxy.release();
    });
    let response = response.succeeded();
    assert_eq!(response.data("Changes"), "created hstore 1.7", "it was us");
    assert_eq!(response.data("Before"), "plpgsql 1.0");
    assert_eq!(response.data("Changed"), "true");
    assert_eq!(faults.installed(), "hstore 1.7");
}

#[test]
fn cut_again_and_again() {
    let faults = FaultInjection::new(60);
    let barrier = faults.pause_create();
    let response = faults.create_while(|| {
        for _ in 0..3 {
            barrier.terminate();
        }
        barrier.open();
    });
    assert_eq!(response.succeeded().data("Changes"), "created hstore 1.7");
    assert_eq!(faults.installed(), "hstore 1.7");
}

#[test]
fn cut_and_never_up_again() {
    let faults = FaultInjection::new(8);
    let barrier = faults.pause_create();
    let response = faults.create_while(|| {
        barrier.until_reached();
        faults.proxy.close();
        faults.proxy.cut();
        barrier.open();
    });
    let response = response.failed(&["gave up waiting for a connection"]);
    assert_eq!(response.id, "Extensions-create-failed");
    assert_eq!(faults.installed(), "", "no COMMIT was sent");
    faults.proxy.open();
    faults.create().succeeded();
    assert_eq!(faults.installed(), "hstore 1.7");
}

#[test]
fn cut_in_commit_and_never_up_again() {
    let faults = FaultInjection::new(8);
    let barrier = faults.pause_commit();
    let response = faults.create_while(|| {
        barrier.until_reached();
        faults.proxy.close();
        faults.proxy.cut();
        barrier.open();
    });
    may_have_left_something(&response.failed(UNKNOWN));
    assert!(["", "hstore 1.7"].contains(&faults.installed().as_str()), "all of it, or nothing");
    faults.proxy.open();
    faults.create().succeeded();
    assert_eq!(faults.installed(), "hstore 1.7");
}

#[test]
fn the_network_is_gone_while_the_server_makes_the_changes() {
    let faults = FaultInjection::new(8);
    faults.env.run_after_create("hstore", "PERFORM pg_sleep(600)");
    let response = faults.create_while(|| {
        faults.until_sleeping();
        faults.proxy.block_all();
    });
    let response = response.failed(&[
        "time ran out",
        "CREATE EXTENSION",
        "does not respond",
        "nothing was changed",
    ]);
    assert_eq!(response.id, "Extensions-create-failed");
    // The server ends it by itself, though no message reaches it.
    let sleeping = backends("AND wait_event = 'PgSleep'");
    eventually(|| faults.env.database.value(&sleeping) == "0");
    faults.proxy.cut();
    assert_eq!(faults.installed(), "");
}

#[test]
fn the_network_is_gone_while_the_reply_to_commit_is_sent() {
    let faults = FaultInjection::new(8);
    let barrier = faults.pause_commit();
    let response = faults.create_while(|| {
        barrier.until_reached();
        faults.proxy.block_all();
        barrier.open();
    });
    may_have_left_something(&response.failed(UNKNOWN));
    faults.proxy.cut();
    assert_eq!(faults.installed(), "hstore 1.7", "committed, and the response did not deny it");
    faults.proxy.release();
    assert_eq!(faults.create().succeeded().data("Changed"), "false", "the next request finds it");
}

#[test]
fn the_network_is_gone_while_the_second_of_two_databases_is_changed() {
    let faults = FaultInjection::new(20);
    let barrier = faults.pause_commit();
    let quick = Database::create();
    let slow = &faults.env.database;
    let mut event = faults.create_event();
    event["ResourceProperties"]["Databases"] = json!([quick.name, slow.name]);
    let response = std::thread::scope(|scope| {
        let creating = scope.spawn(|| faults.deliver(&event));
        barrier.until_reached();
        eventually(|| quick.installed() == "hstore 1.7");
        faults.proxy.block_all();
        creating.join().expect("a response")
    });
    may_have_left_something(&response.failed(UNKNOWN).failed(&[&quick.name, &slow.name]));
    faults.proxy.cut();
    assert_eq!(faults.installed(), "");
    assert_eq!(quick.installed(), "hstore 1.7", "as the reason says");
}

#[test]
fn the_network_is_gone_before_anything_is_changed() {
    let faults = FaultInjection::new(8);
    let holder = server().connect(&faults.env.database.name);
    holder.query("BEGIN; SELECT pg_advisory_xact_lock(7162533686429448308)");
    let response = faults.create_while(|| {
        faults.until_locked();
        faults.proxy.block_all();
    });
    let response = response.failed(&["time ran out", "waiting for the lock", "does not respond"]);
    assert_eq!(response.id, "Extensions-create-failed");
    holder.query("ROLLBACK");
    // Nobody ended the session, and the server does not wait for it.
    assert_eq!(faults.installed(), "");
}

#[test]
fn the_network_is_gone_when_all_is_done() {
    let faults = FaultInjection::new(8);
    let barrier = faults.pause_commit();
    let response = faults.create_while(|| {
        barrier.until_reached();
        faults.proxy.hold(Direction::ToServer);
        barrier.open();
    });
    assert_eq!(response.succeeded().data("Changed"), "true");
    eventually(|| faults.proxy.held(Direction::ToServer) == 1);
    let idle = backends("AND state = 'idle'");
    assert_eq!(faults.env.database.value(&idle), "1", "the server was not told to hang up");
    // It does so by itself; before PostgreSQL 14 it had to wait for TCP to give up.
    if faults.env.database.value("SHOW server_version_num").starts_with("13") {
        faults.proxy.cut();
    }
    assert_eq!(faults.installed(), "hstore 1.7");
}

#[test]
fn the_session_is_ended_by_an_administrator() {
    let faults = FaultInjection::new(60);
    let holder = server().connect(&faults.env.database.name);
    holder.query("BEGIN; SELECT pg_advisory_xact_lock(7162533686429448308)");
    let response = faults.create_while(|| {
        faults.until_locked();
        faults.terminate();
        faults.until_logged("57P01");
        holder.query("ROLLBACK");
    });
    assert_eq!(response.succeeded().data("Changed"), "true");
    assert_eq!(faults.installed(), "hstore 1.7");
}

#[test]
fn the_statement_is_cancelled_by_an_administrator() {
    let faults = FaultInjection::new(60);
    faults.env.run_after_create("hstore", "PERFORM pg_sleep(600)");
    let response = faults.create_while(|| {
        faults.until_sleeping();
        faults.env.database.query(
            "SELECT pg_cancel_backend(pid) FROM pg_stat_activity
             WHERE wait_event = 'PgSleep' AND datname = current_database()",
        );
    });
    let response = response.failed(&["57014", "user request", "nothing was changed"]);
    assert_eq!(response.id, "Extensions-create-failed");
    assert!(!response.reason.contains("time ran out"), "it did not: {}", response.reason);
    assert_eq!(faults.installed(), "");
}

#[test]
fn a_statement_that_cannot_be_cancelled() {
    let faults = FaultInjection::new(8);
    // A server looks at no signal while it reads from a program.
    faults.env.run_after_create(
        "hstore",
        "CREATE TEMPORARY TABLE nothing (line text);
         COPY nothing FROM PROGRAM 'trap \"\" INT; sleep 10'",
    );
    let response =
        faults.create().failed(&["time ran out", "does not respond", "nothing was changed"]);
    assert_eq!(response.id, "Extensions-create-failed");
    assert_eq!(faults.installed(), "");
}

#[test]
fn a_deadlock() {
    let faults = FaultInjection::new(60);
    let other = server().connect(&faults.env.database.name);
    // The server looks for deadlocks on the function's account.
    other.query("SET deadlock_timeout = '1min'; BEGIN");
    other.query("LOCK TABLE pg_catalog.pg_extension IN SHARE MODE");
    let response = faults.create_while(|| {
        faults.until_locked();
        other.query("SELECT pg_advisory_xact_lock(7162533686429448308)");
        faults.until_logged("40P01");
        other.query("COMMIT");
    });
    assert_eq!(response.succeeded().data("Changes"), "created hstore 1.7");
    assert_eq!(faults.installed(), "hstore 1.7");
}

#[test]
fn somebody_else_creates_the_same_extension() {
    let faults = FaultInjection::new(60);
    let other = server().connect(&faults.env.database.name);
    other.query("BEGIN; CREATE EXTENSION hstore VERSION '1.7'");
    let response = faults.create_while(|| {
        faults.until_locked();
        other.query("COMMIT");
    });
    assert_eq!(response.succeeded().data("Changed"), "false", "it is there, whoever did it");
    assert_eq!(faults.installed(), "hstore 1.7");
}

#[test]
fn somebody_else_is_at_the_same_extension_and_stays_there() {
    let faults = FaultInjection::new(8);
    faults.env.database.query("CREATE EXTENSION hstore VERSION '1.4'");
    let other = server().connect(&faults.env.database.name);
    other.query("BEGIN; ALTER EXTENSION hstore UPDATE TO '1.5'");
    let words =
        ["time ran out in `ALTER EXTENSION", "another session holds", "55P03", "nothing was"];
    faults.create().failed(&words);
    other.query("ROLLBACK");
    assert_eq!(faults.installed(), "hstore 1.4");
}

#[test]
fn the_disk_is_full() {
    let faults = FaultInjection::new(60);
    faults
        .env
        .run_after_create("citext", "RAISE EXCEPTION SQLSTATE '53100' USING MESSAGE = 'disk full'");
    let map = json!({ "citext": "1.6", "hstore": "1.7" });
    let response = faults.deliver(&faults.event("Create", &map));
    response.failed(&["SQLSTATE 53100", "citext", "nothing was changed"]);
    assert_eq!(faults.installed(), "");
}

#[test]
fn the_server_is_killed_and_comes_back() {
    let mut cluster = Cluster::start(&[]);
    let faults = FaultInjection::at(&cluster, 60);
    let barrier = pause_create(&cluster);
    let response = faults.create_while(|| {
        barrier.until_reached();
        cluster.kill();
        cluster.restart();
        faults.proxy.set_upstream(cluster.server.port);
    });
    assert_eq!(response.succeeded().data("Changes"), "created hstore 1.7");
    assert_eq!(extensions(&cluster.server.connect("postgres")), "hstore 1.7");
}

#[test]
fn the_server_is_killed_and_stays_down() {
    let mut cluster = Cluster::start(&[]);
    let faults = FaultInjection::at(&cluster, 8);
    let barrier = pause_create(&cluster);
    let response = faults.create_while(|| {
        barrier.until_reached();
        cluster.kill();
    });
    let response = response.failed(&["gave up waiting for a connection"]);
    assert_eq!(response.id, "Extensions-create-failed");
    cluster.restart();
    let admin = cluster.server.connect("postgres");
    assert_eq!(extensions(&admin), "", "what was not committed is gone");
    faults.proxy.set_upstream(cluster.server.port);
    assert_eq!(faults.create().succeeded().data("Changed"), "true");
}

#[test]
fn one_backend_crashes_and_takes_all_sessions_along() {
    let cluster = Cluster::start(&[]);
    let faults = FaultInjection::at(&cluster, 60);
    let admin = cluster.server.connect("postgres");
    let barrier = pause_create(&cluster);
    let bystander = admin.value("SELECT pg_backend_pid()");
    let response = faults.create_while(|| {
        barrier.until_reached();
        let killed = std::process::Command::new("kill").args(["-SEGV", &bystander]).status();
        assert!(killed.is_ok_and(|status| status.success()));
    });
    assert_eq!(response.succeeded().data("Changes"), "created hstore 1.7");
    assert_eq!(extensions(&cluster.server.connect("postgres")), "hstore 1.7");
}

/// Has `hstore` created in a private cluster until a barrier is opened, or the server ends.
fn pause_create(cluster: &Cluster) -> Barrier {
    cluster.server.connect("postgres").query(&format!(
        "CREATE FUNCTION public.wait() RETURNS event_trigger LANGUAGE plpgsql
           AS 'BEGIN {}; END';
         CREATE EVENT TRIGGER wait ON ddl_command_end WHEN TAG IN ('CREATE EXTENSION')
           EXECUTE FUNCTION public.wait()",
        Barrier::statement()
    ));
    Barrier::close_at(cluster.server, "postgres")
}
