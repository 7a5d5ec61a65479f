//! Owners of other databases on the same server: what they set, hold and claim there.

use std::collections::BTreeSet;

use crate::support::cluster::Cluster;
use crate::support::database::{Database, Session};
use crate::support::databases::LOCK;
use crate::support::resource::Resource;
use crate::support::test_environment::{SECRET, TestEnvironment};
use serde_json::{Value, json};

/// Of every setting that a user may change, the values that are tried, one in each round.
const VALUES: &str = "
    SELECT name, CASE
        WHEN vartype = 'enum' THEN enumvals
        WHEN vartype = 'bool' THEN '{on, off}'
        WHEN vartype = 'string' THEN ARRAY['', 'x', 'none', boot_val]
        ELSE ARRAY[min_val, max_val, '1', boot_val] END AS vals
    FROM pg_settings
    WHERE context = 'user' AND name NOT IN ('idle_session_timeout', 'local_preload_libraries')";
// With the first at 1 ms the server ends each session before anything can be said, and with a library
// that is not there it accepts no session.

/// A server with a database of ours and one of a tenant's.
struct Shared {
    env: TestEnvironment,
    his: Database,
    admin: Session,
    cluster: Cluster,
}

impl Shared {
    fn new() -> Self {
        let cluster = Cluster::start(&[]);
        let env = TestEnvironment::with(Database::at(cluster.server, "app"), &[]);
        let his = Database::at(cluster.server, "his");
        his.role_called("tenant", "of the tenant", "");
        his.query("ALTER DATABASE his OWNER TO tenant");
        let admin = cluster.server.connect("postgres");
        Self { env, his, admin, cluster }
    }

    /// The tenant gives each setting its value of this round; returns the names of those that he could.
    fn set(&self, round: usize) -> Vec<String> {
        self.his.query("RESET ROLE; ALTER DATABASE his RESET ALL; SET ROLE tenant");
        self.his.query(&format!(
            "DO $$
             DECLARE it record;
             BEGIN
                 FOR it IN {VALUES} LOOP
                     BEGIN
                         EXECUTE format('ALTER DATABASE his SET %s = %L', it.name,
                             it.vals[1 + {round} % cardinality(it.vals)]);
                     EXCEPTION WHEN OTHERS THEN NULL;
                     END;
                 END LOOP;
             END $$;
             RESET ROLE"
        ));
        let set = "SELECT split_part(unnest(setconfig), '=', 1) FROM pg_db_role_setting AS s
                   JOIN pg_database AS d ON d.oid = s.setdatabase WHERE datname = 'his'";
        self.admin.query(set).concat()
    }

    /// A name that is no UTF-8, as a session in a database of another encoding can give it.
    fn give_an_odd_name(&self, database: &str) {
        self.admin.query("CREATE DATABASE raw ENCODING 'SQL_ASCII' TEMPLATE template0 LOCALE 'C'");
        let raw = self.cluster.server.connect("raw");
        raw.query(&format!(
            "DO $$ BEGIN EXECUTE format('ALTER DATABASE {database} RENAME TO %I', E'od\\xffd'); END $$"
        ));
        drop(raw);
        self.admin.query("DROP DATABASE raw");
    }
}

/// What is answered about a database in which others have no part.
fn responses(env: &TestEnvironment) -> Vec<Value> {
    let mut documents = Vec::new();
    for policy in ["Drop", "Retain"] {
        let mut it = Resource::new(env, "a", policy);
        documents.push(it.create(&json!({ "hstore": "1.4" })).succeeded().document);
        documents.push(it.update(&json!({ "hstore": "1.7", "citext": "" })).succeeded().document);
        documents.push(it.delete().succeeded().document);
    }
    env.database.query("DROP EXTENSION hstore, citext");
    documents
}

#[test]
fn the_owner_of_one_database_changes_no_response_about_others() {
    let shared = Shared::new();
    let before = responses(&shared.env);
    let set = shared.set(2);
    assert!(set.len() > 100, "{set:?}");
    shared.admin.query("CREATE DATABASE odd OWNER tenant");
    shared.give_an_odd_name("odd");
    shared.his.query(
        "SET ROLE tenant;
         CREATE SCHEMA cfn_postgres_extensions;
         CREATE TABLE cfn_postgres_extensions.claim (
             stack text, logical_id text, physical_id text, extension text, created boolean,
             extension_oid oid, home oid, database text, claimed_at timestamptz);
         INSERT INTO cfn_postgres_extensions.claim
             SELECT 'a', 'Extensions', 'Extensions', extname, true, oid, extnamespace, 'app', now()
             FROM pg_extension",
    );
    shared.his.query(LOCK);
    shared.admin.query("ALTER DATABASE his CONNECTION LIMIT 0");
    shared.admin.query("CREATE DATABASE renamed OWNER tenant");
    shared.admin.query("BEGIN; ALTER DATABASE renamed RENAME TO renamed_again");
    assert_eq!(responses(&shared.env), before);
    shared.admin.query("ROLLBACK");
}

#[test]
fn settings_of_the_owner_prevent_no_request() {
    let shared = Shared::new();
    let properties = json!({ "Databases": "*", "PluginsMap": { "hstore": "1.7" } });
    let event = shared.env.event("Create", &properties);
    let most = format!("SELECT max(cardinality(vals)) FROM ({VALUES}) AS v");
    let rounds: usize = shared.admin.value(&most).parse().expect("a number");
    let mut all = BTreeSet::new();
    for round in 0..rounds {
        let set = shared.set(round);
        all.extend(set.clone());
        let response = shared.env.deliver_once(&event);
        assert_eq!(response.status, "SUCCESS", "round {round}: {response:#?}\n{set:?}");
        shared.his.query("RESET ALL; DROP EXTENSION hstore");
    }
    println!("{} settings in {rounds} rounds", all.len());
    assert!(all.len() > 100, "{all:?}");
}

#[test]
fn the_databases_are_listed_in_one_with_timeouts_of_its_owners() {
    let shared = Shared::new();
    for setting in [
        "statement_timeout",
        "lock_timeout",
        "idle_in_transaction_session_timeout",
        "transaction_timeout",
    ] {
        let _ = shared.his.query(&format!(
            "DO $$ BEGIN ALTER DATABASE his SET {setting} = 1;
             EXCEPTION WHEN undefined_object THEN NULL; END $$"
        ));
    }
    shared.his.query("ALTER DATABASE his SET default_transaction_read_only = on");
    shared.his.query("ALTER DATABASE his SET standard_conforming_strings = off");
    let server = shared.cluster.server;
    let secret = shared.his.secret(&server.user, &server.password);
    shared.env.secrets.put(SECRET, "AWSCURRENT", secret.to_string());
    let map = json!({ "hstore": { "Version": "1.7", "Schema": "it's \\ odd" } });
    let response =
        shared.env.create_with(&json!({ "Databases": "*", "PluginsMap": map })).succeeded();
    for database in ["app", "his", "postgres"] {
        let change = format!("{database}: created hstore 1.7");
        assert!(response.data("Changes").contains(&change), "{response:#?}");
    }
}

#[test]
fn of_every_database_a_full_one_is_skipped() {
    let shared = Shared::new();
    let env = &shared.env;
    // A superuser may exceed every limit.
    let role = env.database.role("a plain role", "");
    env.credentials(&role, "a plain role");
    for database in ["app", "his", "postgres"] {
        shared.admin.query(&format!("GRANT CREATE ON DATABASE {database} TO {role}"));
    }
    shared.admin.query("ALTER DATABASE his CONNECTION LIMIT 0");
    let every = json!({ "Databases": "*", "PluginsMap": { "hstore": "1.7" } });
    let response = env.create_with(&every).succeeded();
    assert_eq!(
        response.data("Changes"),
        "app: created hstore 1.7; postgres: created hstore 1.7; \
         his: skipped (all its connections are taken)"
    );
    assert_eq!(response.data("hstore"), "1.7");
    assert_eq!(
        response.data("After"),
        "app: hstore 1.7, plpgsql 1.0; postgres: hstore 1.7, plpgsql 1.0"
    );
    assert_eq!(shared.his.installed(), "");

    // Who leaves `*` need not wait for it either.
    let app =
        json!({ "Databases": "app", "PluginsMap": { "hstore": "1.7" }, "RemovalPolicy": "Drop" });
    let mut leaving = env.event_about("Update", &response.id, &app);
    leaving["OldResourceProperties"] = env.event("Update", &every)["ResourceProperties"].clone();
    let response = env.deliver(&leaving).succeeded();
    assert!(response.data("Changes").contains("his: skipped"), "{response:#?}");

    // The secret's own, and all of them: then there is nothing to report.
    shared.admin.query("ALTER DATABASE app CONNECTION LIMIT 0");
    let response = env.create_with(&every).succeeded();
    assert!(response.data("Changes").contains("app: skipped"), "{response:#?}");
    shared.admin.query("ALTER DATABASE postgres CONNECTION LIMIT 0");
    shared.admin.query("ALTER DATABASE template1 ALLOW_CONNECTIONS true");
    env.create_with(&every).failed(&["53300"]);
    for database in ["app", "postgres"] {
        shared.cluster.server.connect(database).query("DROP EXTENSION hstore");
    }
}

#[test]
fn of_every_database_one_with_a_name_that_is_no_utf_8_is_skipped() {
    let shared = Shared::new();
    shared.admin.query("CREATE DATABASE odd OWNER tenant");
    shared.give_an_odd_name("odd");
    let every = json!({ "Databases": "*", "PluginsMap": { "hstore": "1.7" },
                        "RemovalPolicy": "Drop" });
    let response = shared.env.create_with(&every).succeeded();
    let skipped = "od\u{fffd}d: skipped (its name is no UTF-8)";
    assert!(response.data("Changes").contains(skipped), "{response:#?}");
    assert_eq!(shared.his.installed(), "hstore 1.7");
    let log = "skipped: its name is no UTF-8";
    assert!(response.log.iter().any(|line| line.contains(log)), "{response:#?}");
    let delete = shared.env.event_about("Delete", &response.id, &every);
    let response = shared.env.deliver(&delete).succeeded();
    assert!(response.reason.contains(skipped), "{response:#?}");
    assert_eq!(shared.his.installed(), "");
}
