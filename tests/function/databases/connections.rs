//! Many databases on one server, and few connections. Every event is sent twice, but for the last
//! story's.

use std::thread;
use std::time::{Duration, Instant};

use crate::support::cluster::Cluster;
use crate::support::database::{Database, Session, quoted};
use crate::support::databases::{LOCK, create, names, with_others};
use crate::support::fault_injection::eventually;
use crate::support::test_environment::TestEnvironment;
use serde_json::json;

#[test]
fn four_databases_at_a_time() {
    let (env, others) = with_others(9);
    let all = names(&env, &others);
    let list = all.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ");
    let sessions = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname IN ({list})
         AND application_name = 'cfn-postgres-extensions'"
    );
    // Each session waits for the lock, and is counted.
    for database in &others {
        database.query(LOCK);
    }
    env.database.query(LOCK);
    let event =
        env.event("Create", &json!({ "Databases": all, "PluginsMap": { "hstore": "1.7" } }));
    thread::scope(|scope| {
        let response = scope.spawn(|| env.deliver_once(&event));
        eventually(|| env.database.value(&sessions) == "4");
        thread::sleep(Duration::from_millis(500));
        assert_eq!(env.database.value(&sessions), "4", "no fifth one");
        for database in &others {
            database.query("SELECT pg_advisory_unlock_all()");
        }
        env.database.query("SELECT pg_advisory_unlock_all()");
        response.join().expect("a response").succeeded();
    });
    for database in &others {
        assert_eq!(database.installed(), "hstore 1.7");
    }
}

#[test]
fn a_server_with_few_connections() {
    let (env, others) = with_others(7);
    let role = env.database.role("few", "CONNECTION LIMIT 2");
    env.credentials(&role, "few");
    let all = names(&env, &others);
    for name in &all {
        env.database.query(&format!("GRANT CREATE ON DATABASE {} TO {role}", quoted(name)));
    }
    let response = create(&env, &json!(all), &json!({ "hstore": "1.7" })).succeeded();
    assert!(response.log.iter().any(|line| line.contains("53300")), "{:#?}", response.log);
    for database in &others {
        assert_eq!(database.installed(), "hstore 1.7");
    }
    // Roles own what they created: nothing may hold this one back.
    for database in &others {
        database.query("DROP EXTENSION hstore");
    }
}

/// How many databases one server has in the last story: 200 are said to be done within one budget,
/// 20 do in an ordinary run.
fn many() -> usize {
    std::env::var("TEST_MANY_DATABASES").ok().map_or(20, |text| text.parse().unwrap_or(200))
}

fn make_many(admin: &Session, count: usize) {
    let modern = admin.value("SHOW server_version_num").parse().is_ok_and(|n: u32| n >= 150_000);
    let strategy = if modern { "STRATEGY file_copy" } else { "" };
    for index in 0..count {
        admin.query(&format!("CREATE DATABASE many_{index:03} {strategy}"));
    }
}

#[test]
fn many_databases_within_one_budget() {
    let cluster = Cluster::start(&[]);
    let env = TestEnvironment::with(Database::at(cluster.server, "app"), &[]).with_seconds(300);
    let count = many();
    let start = Instant::now();
    make_many(&cluster.server.connect("postgres"), count);
    println!("{count} databases made in {:.1} s", start.elapsed().as_secs_f32());
    let properties = json!({ "Databases": "*", "PluginsMap": { "hstore": "1.7", "citext": "" } });
    let event = env.event("Create", &properties);
    let mut data = Vec::new();
    for changed in ["true", "false"] {
        let start = Instant::now();
        let response = env.deliver_once(&event).succeeded();
        println!("{changed}: {:.1} s", start.elapsed().as_secs_f32());
        assert_eq!(response.data("Changed"), changed);
        assert_eq!(response.data("hstore"), "1.7");
        data.push(response.data("citext").to_owned());
    }
    assert_eq!(data[0], data[1]);
    for index in [0, count / 2, count - 1] {
        let session = cluster.server.connect(&format!("many_{index:03}"));
        let hstore = "SELECT extversion FROM pg_extension WHERE extname = 'hstore'";
        assert_eq!(session.value(hstore), "1.7");
    }
}
