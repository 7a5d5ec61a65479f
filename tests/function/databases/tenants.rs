//! Owners of other databases on the same server: what they set, hold and claim there.

use std::collections::BTreeSet;

use crate::support::cluster::Cluster;
use crate::support::database::{Database, Session};
use crate::support::resource::Resource;
use crate::support::several::LOCK;
use crate::support::stage::{SECRET, Stage};
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
// that is not there it lets nobody in.

/// A server with a database of ours and one of a tenant's.
struct Shared {
    stage: Stage,
    his: Database,
    admin: Session,
    cluster: Cluster,
}

impl Shared {
    fn new() -> Self {
        let cluster = Cluster::start(&[]);
        let stage = Stage::with(Database::at(cluster.server, "app"), &[]);
        let his = Database::at(cluster.server, "his");
        his.role_called("tenant", "of the tenant", "");
        his.query("ALTER DATABASE his OWNER TO tenant");
        let admin = cluster.server.connect("postgres");
        Self { stage, his, admin, cluster }
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
fn answers(stage: &Stage) -> Vec<Value> {
    let mut documents = Vec::new();
    for policy in ["Drop", "Retain"] {
        let mut it = Resource::new(stage, "a", policy);
        documents.push(it.create(&json!({ "hstore": "1.4" })).succeeded().document);
        documents.push(it.update(&json!({ "hstore": "1.7", "citext": "" })).succeeded().document);
        documents.push(it.delete().succeeded().document);
    }
    stage.database.query("DROP EXTENSION hstore, citext");
    documents
}

#[test]
fn a_bystander_changes_no_answer_about_other_databases() {
    let shared = Shared::new();
    let before = answers(&shared.stage);
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
    assert_eq!(answers(&shared.stage), before);
    shared.admin.query("ROLLBACK");
}

#[test]
fn a_database_is_entered_whatever_its_owner_has_set() {
    let shared = Shared::new();
    let properties = json!({ "Databases": "*", "PluginsMap": { "hstore": "1.7" } });
    let event = shared.stage.event("Create", &properties);
    let most = format!("SELECT max(cardinality(vals)) FROM ({VALUES}) AS v");
    let rounds: usize = shared.admin.value(&most).parse().expect("a number");
    let mut all = BTreeSet::new();
    for round in 0..rounds {
        let set = shared.set(round);
        all.extend(set.clone());
        let answer = shared.stage.deliver_once(&event);
        assert_eq!(answer.status, "SUCCESS", "round {round}: {answer:#?}\n{set:?}");
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
    shared.stage.secrets.put(SECRET, "AWSCURRENT", secret.to_string());
    let map = json!({ "hstore": { "Version": "1.7", "Schema": "it's \\ odd" } });
    let answer =
        shared.stage.create_with(&json!({ "Databases": "*", "PluginsMap": map })).succeeded();
    for database in ["app", "his", "postgres"] {
        let change = format!("{database}: created hstore 1.7");
        assert!(answer.data("Changes").contains(&change), "{answer:#?}");
    }
}

#[test]
fn of_every_database_a_full_one_is_passed_over() {
    let shared = Shared::new();
    let stage = &shared.stage;
    // A superuser is let in past every limit.
    let role = stage.database.role("a plain role", "");
    stage.credentials(&role, "a plain role");
    for database in ["app", "his", "postgres"] {
        shared.admin.query(&format!("GRANT CREATE ON DATABASE {database} TO {role}"));
    }
    shared.admin.query("ALTER DATABASE his CONNECTION LIMIT 0");
    let every = json!({ "Databases": "*", "PluginsMap": { "hstore": "1.7" } });
    let answer = stage.create_with(&every).succeeded();
    assert_eq!(
        answer.data("Changes"),
        "app: created hstore 1.7; postgres: created hstore 1.7; \
         his: passed over (all its connections are taken)"
    );
    assert_eq!(answer.data("hstore"), "1.7");
    assert_eq!(
        answer.data("After"),
        "app: hstore 1.7, plpgsql 1.0; postgres: hstore 1.7, plpgsql 1.0"
    );
    assert_eq!(shared.his.installed(), "");

    // Who leaves `*` need not wait for it either.
    let app =
        json!({ "Databases": "app", "PluginsMap": { "hstore": "1.7" }, "RemovalPolicy": "Drop" });
    let mut leaving = stage.event_about("Update", &answer.id, &app);
    leaving["OldResourceProperties"] = stage.event("Update", &every)["ResourceProperties"].clone();
    let answer = stage.deliver(&leaving).succeeded();
    assert!(answer.data("Changes").contains("his: passed over"), "{answer:#?}");

    // The secret's own, and all of them: then there is nothing to report.
    shared.admin.query("ALTER DATABASE app CONNECTION LIMIT 0");
    let answer = stage.create_with(&every).succeeded();
    assert!(answer.data("Changes").contains("app: passed over"), "{answer:#?}");
    shared.admin.query("ALTER DATABASE postgres CONNECTION LIMIT 0");
    shared.admin.query("ALTER DATABASE template1 ALLOW_CONNECTIONS true");
    stage.create_with(&every).failed(&["53300"]);
    for database in ["app", "postgres"] {
        shared.cluster.server.connect(database).query("DROP EXTENSION hstore");
    }
}

#[test]
fn of_every_database_one_with_a_name_that_is_no_utf_8_is_passed_over() {
    let shared = Shared::new();
    shared.admin.query("CREATE DATABASE odd OWNER tenant");
    shared.give_an_odd_name("odd");
    let every = json!({ "Databases": "*", "PluginsMap": { "hstore": "1.7" },
                        "RemovalPolicy": "Drop" });
    let answer = shared.stage.create_with(&every).succeeded();
    let passed_over = "od\u{fffd}d: passed over (its name is no UTF-8)";
    assert!(answer.data("Changes").contains(passed_over), "{answer:#?}");
    assert_eq!(shared.his.installed(), "hstore 1.7");
    let log = "passed over: its name is no UTF-8";
    assert!(answer.log.iter().any(|line| line.contains(log)), "{answer:#?}");
    let delete = shared.stage.event_about("Delete", &answer.id, &every);
    let answer = shared.stage.deliver(&delete).succeeded();
    assert!(answer.reason.contains(passed_over), "{answer:#?}");
    assert_eq!(shared.his.installed(), "");
}
