//! `pg_upgrade` leaves each extension at its version: `'*': latest` is what is left to do.

#![expect(clippy::expect_used, reason = "a broken result is a failed test")]

use crate::support::cluster::Cluster;
use crate::support::database::{Database, Server};
use crate::support::test_environment::{SECRET, TestEnvironment};
use serde_json::{Value, json};

/// PostgreSQL 18 has newer versions than 15 of all but `cube`.
const EXTENSIONS: [&str; 6] =
    ["btree_gist", "citext", "cube", "earthdistance", "fuzzystrmatch", "ltree"];

/// The extensions of a database whose default is another version.
fn outdated(server: &Server, database: &str) -> Vec<String> {
    let rows = server.connect(database).query(
        "SELECT name FROM pg_available_extensions
         WHERE installed_version <> default_version ORDER BY name",
    );
    rows.into_iter().map(|mut row| row.remove(0)).collect()
}

/// The extensions of a database for which an Inspect has an update.
fn updates(result: &Value, database: &str) -> Vec<String> {
    let databases = result["Databases"].as_array().expect("a list");
    let found = databases.iter().find(|it| it["Database"] == database).expect("the database");
    let extensions = found["Extensions"].as_array().expect("a list").iter();
    let lagging = extensions.filter(|it| it["UpdateAvailable"] == true);
    lagging.map(|it| it["Name"].as_str().expect("a name").to_owned()).collect()
}

#[test]
fn after_a_major_upgrade_of_the_server_nothing_is_left_to_update() {
    let Some(mut cluster) = Cluster::to_upgrade() else { return };
    let ca = cluster.server.ca.clone();
    let env = TestEnvironment::with(Database::create(), &[("PGSSLROOTCERT", ca)]);
    env.keep_secret(&cluster.server.password);
    let secret = |server: &Server| server.secret(server.port, "app").to_string();
    let admin = cluster.server.connect("postgres");
    admin.query("CREATE DATABASE app");
    admin.query("CREATE DATABASE audit");
    drop(admin);
    env.secrets.put(SECRET, "AWSCURRENT", secret(cluster.server));
    let map: serde_json::Map<_, _> =
        EXTENSIONS.iter().map(|name| ((*name).to_owned(), json!("latest"))).collect();
    let properties = json!({ "PluginsMap": map, "Databases": ["app"] });
    let created = env.create_with(&properties).succeeded();
    env.create_with(&json!({ "PluginsMap": { "citext": "" }, "Databases": ["audit"] })).succeeded();
    let before = cluster.server.connect("app").value("SHOW server_version");
    assert_eq!(outdated(cluster.server, "app"), Vec::<String>::new());

    cluster.upgrade();
    env.secrets.put(SECRET, "AWSCURRENT", secret(cluster.server));
    let lagging = outdated(cluster.server, "app");
    assert!(lagging.len() >= 2, "from {before}: {lagging:?}");
    let every = json!({ "PluginsMap": { "*": "any" }, "Databases": "*" });
    let response = env.create_with(&every).succeeded();
    for name in &lagging {
        assert_eq!(response.data(name), created.data(name), "pg_upgrade has updated none");
    }
    let inspect = || env.inspect(&json!({ "Databases": "*" }));
    let result = inspect();
    assert_eq!(updates(&result, "app"), lagging);
    assert_eq!(updates(&result, "audit"), ["citext"]);
    assert_eq!(result["Summary"]["UpdatesAvailable"], lagging.len() + 1);

    let every = json!({ "PluginsMap": { "*": "latest" }, "Databases": "*" });
    let response = env.create_with(&every).succeeded();
    let changes = response.data("Changes");
    let updated = |database: &str, name: &str| {
        let (from, to) = (created.data(name), response.data(name));
        assert_ne!(from, to);
        format!("{database}: updated {name} {from} to {to}")
    };
    let app = lagging.iter().map(|name| updated("app", name));
    let expected: Vec<String> = app.chain([updated("audit", "citext")]).collect();
    assert_eq!(changes, expected.join("; "));
    for database in ["app", "audit", "postgres"] {
        assert_eq!(outdated(cluster.server, database), Vec::<String>::new(), "{database}");
    }
    assert_eq!(inspect()["Summary"]["UpdatesAvailable"], 0);
}
