//! Others on the same server who interfere with a drop. Every event is sent twice, unless it says
//! otherwise.

use crate::support::cluster::Cluster;
use crate::support::database::{Database, server, unique};
use crate::support::fault_injection::{backends, eventually};
use crate::support::resource::{Resource, claims};
use crate::support::test_environment::TestEnvironment;
use serde_json::json;

#[test]
fn a_view_of_the_claims() {
    let env = TestEnvironment::new();
    let mut it = Resource::new(&env, "a", "Drop");
    it.create(&json!({ "hstore": "1.7" })).succeeded();
    env.database.query(
        "CREATE VIEW public.who AS SELECT logical_id, extension FROM cfn_postgres_extensions.claim",
    );
    it.delete().succeeded();
    assert_eq!(env.database.installed(), "");
    assert_eq!(claims(&env.database), "empty", "the view stays, and what it looks at");
}

#[test]
fn a_tenant_who_changes_the_role_of_the_session() {
    for (setting, back) in [("role", "SET ROLE NONE"), ("session_authorization", "SUPERUSER")] {
        let env = TestEnvironment::new();
        let back =
            back.replace("SUPERUSER", &format!("SET SESSION AUTHORIZATION {}", server().user));
        let mut it = Resource::new(&env, "a", "Drop");
        it.create(&json!({ "hstore": "1.7" })).succeeded();
        let theirs = Database::create();
        let tenant = theirs.role("pw", "");
        // Reading such a table runs the tenant's code.
        theirs.query(&format!(
            "ALTER DATABASE {0} OWNER TO {tenant};
             SET ROLE {tenant};
             CREATE SCHEMA cfn_postgres_extensions;
             SET search_path = cfn_postgres_extensions;
             CREATE TYPE odd AS ENUM ('x');
             CREATE FUNCTION run(odd) RETURNS json LANGUAGE plpgsql AS $$ BEGIN
                 EXECUTE '{back}';
                 EXECUTE 'ALTER ROLE {tenant} SUPERUSER';
                 RETURN '1'; END $$;
             CREATE CAST (odd AS json) WITH FUNCTION run(odd);
             CREATE TABLE claim (stack odd, logical_id text, physical_id text, extension text,
                 created boolean, extension_oid oid, home oid, database text, claimed_at date);
             INSERT INTO claim (stack) VALUES ('x');
             ALTER DATABASE {0} SET {setting} = '{tenant}';
             RESET ROLE",
            theirs.name
        ));
        let both = json!([env.database.name, theirs.name]);
        it.deliver("Delete", &json!({ "Databases": both })).succeeded();
        let superuser = format!("SELECT rolsuper FROM pg_roles WHERE rolname = '{tenant}'");
        assert_eq!(env.database.value(&superuser), "f", "{setting}");
        assert_eq!(env.database.installed(), "");
    }
}

#[test]
fn rows_that_are_being_written() {
    let env = TestEnvironment::new();
    let mut it = Resource::new(&env, "a", "Drop");
    it.create(&json!({ "keeper": "" })).succeeded();
    let writer = server().connect(&env.database.name);
    writer.query("BEGIN; INSERT INTO public.kept VALUES (2, true)");
    std::thread::scope(|scope| {
        let delete = it.event("Delete", &json!({}));
        let env = &env;
        let deleting = scope.spawn(move || env.deliver_once(&delete));
        let waiting = backends("AND wait_event_type = 'Lock'");
        eventually(|| env.database.value(&waiting) != "0");
        writer.query("COMMIT");
        deleting.join().expect("a response").failed(&["public.kept", "rows of yours"]);
    });
    assert_eq!(env.database.value("SELECT count(*) FROM public.kept"), "1");
}

/// The columns of the table of claims.
const COLUMNS: &str = "stack text NOT NULL, logical_id text NOT NULL, physical_id text NOT NULL, \
     extension text NOT NULL, created boolean NOT NULL, extension_oid oid NOT NULL, \
     home oid NOT NULL, database text NOT NULL, claimed_at timestamptz NOT NULL DEFAULT now(), \
     PRIMARY KEY (stack, logical_id, physical_id, extension)";

/// A table of claims that a member of what is called `rds_superuser` made for the function's role, an
/// ordinary one. With `take()` for a default it runs with the rights of each role that writes to it.
fn lent_by_a_stand_in(env: &TestEnvironment, default: &str) -> String {
    let deployer = env.database.role("of a deployer", "");
    let owner = env.database.role("of a tenant", "");
    env.credentials(&deployer, "of a deployer");
    env.database.query(&format!(
        "DO $$ BEGIN CREATE ROLE rds_superuser; EXCEPTION WHEN duplicate_object OR unique_violation
         THEN NULL; END $$;
         GRANT rds_superuser TO {owner}; GRANT CREATE ON DATABASE {database} TO {deployer};
         ALTER DATABASE {database} OWNER TO {owner};
         SET ROLE {owner};
         CREATE SCHEMA cfn_postgres_extensions;
         SET search_path = cfn_postgres_extensions;
         CREATE FUNCTION take() RETURNS timestamptz LANGUAGE plpgsql AS $$ BEGIN
             EXECUTE format('ALTER ROLE %I PASSWORD ''mine''', current_user); RETURN now(); END $$;
         CREATE TABLE claim ({columns});
         GRANT USAGE, CREATE ON SCHEMA cfn_postgres_extensions TO {deployer};
         GRANT SELECT, INSERT, UPDATE, DELETE ON claim TO {deployer};
         RESET search_path; RESET ROLE",
        database = env.database.name,
        columns = COLUMNS.replace("now()", default),
    ));
    owner
}

/// What could be taken over: the roles of a database, with their passwords and memberships.
fn roles(env: &TestEnvironment) -> Vec<Vec<String>> {
    env.database.query(&format!(
        "SELECT r, ARRAY(SELECT m.roleid FROM pg_auth_members AS m WHERE m.member = r.oid)
         FROM pg_authid AS r WHERE has_database_privilege(r.oid, '{}', 'CREATE') ORDER BY r.oid",
        env.database.name
    ))
}

#[test]
fn a_tenant_with_the_name_of_a_clouds_superuser() {
    let env = TestEnvironment::new();
    let owner = lent_by_a_stand_in(&env, "take()");
    let words = ["claims in schema `cfn_postgres_extensions`", &format!("role `{owner}`")];
    let properties = json!({ "PluginsMap": { "hstore": "1.7" }, "RemovalPolicy": "Drop" });
    let before = roles(&env);
    env.create_with(&properties).failed(&words);
    // What is set for a database alone is no cloud's.
    env.database.set("\"rds.extensions\"", "hstore");
    env.create_with(&properties).failed(&words);
    assert_eq!(roles(&env), before);
    assert_eq!(env.database.installed(), "");
}

#[test]
fn the_superuser_role_of_a_cloud() {
    let cluster = Cluster::start(&["rds.extensions=hstore"]);
    let properties = json!({ "PluginsMap": { "hstore": "1.7" }, "RemovalPolicy": "Drop" });
    for default in ["take()", "now()"] {
        let database = Database::at(cluster.server, &unique("app"));
        let env = TestEnvironment::with(database, &[("PGSSLROOTCERT", cluster.server.ca.clone())]);
        lent_by_a_stand_in(&env, default);
        let before = roles(&env);
        let response = env.create_with(&properties);
        assert_eq!(roles(&env), before);
        if default == "now()" {
            response.succeeded();
            assert_eq!(claims(&env.database), format!("{} hstore created", env.database.name));
        } else {
            response.failed(&["not the table of this function"]);
        }
    }
}

#[test]
fn a_table_of_claims_is_believed_only_as_it_was_made() {
    let env = TestEnvironment::new();
    let properties = json!({ "PluginsMap": { "hstore": "1.7" }, "RemovalPolicy": "Drop" });
    env.database.query(
        "CREATE SCHEMA aside;
         CREATE FUNCTION aside.now() RETURNS timestamptz LANGUAGE sql AS 'SELECT pg_catalog.now()';
         CREATE FUNCTION aside.ring() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
         CREATE TYPE aside.text AS ENUM ('x'); CREATE DOMAIN aside.named AS text;
         CREATE COLLATION aside.odd (LOCALE = 'C'); CREATE TABLE aside.parent ()",
    );
    let table = format!("CREATE TABLE cfn_postgres_extensions.claim ({COLUMNS})");
    let other = |from: &str, to: &str| {
        assert!(table.contains(from), "{from}");
        table.replace(from, to)
    };
    let claim = "cfn_postgres_extensions.claim";
    let database = |now: &str| other("database text NOT NULL", &format!("database {now}"));
    for made in [
        other("DEFAULT now()", "DEFAULT aside.now()"),
        other("DEFAULT now()", "DEFAULT clock_timestamp()"),
        other("DEFAULT now()", ""),
        database("text NOT NULL DEFAULT 'x'"),
        database("text"),
        database("varchar NOT NULL"),
        database("aside.text NOT NULL"),
        database("aside.named NOT NULL"),
        database("text COLLATE aside.odd NOT NULL"),
        database("text NOT NULL CHECK (database <> '')"),
        database("text NOT NULL GENERATED ALWAYS AS ('x') STORED"),
        database("text NOT NULL UNIQUE"),
        other("home oid", "at home oid").replace("at home oid NOT NULL, ", ""),
        other("PRIMARY KEY (stack, logical_id", "PRIMARY KEY (logical_id, stack"),
        other("extension)", "extension) DEFERRABLE"),
        other(", PRIMARY KEY (stack, logical_id, physical_id, extension)", ""),
        other("CREATE TABLE", "CREATE UNLOGGED TABLE"),
        format!("{table} INHERITS (aside.parent)"),
        format!("{table} PARTITION BY LIST (stack)"),
        format!("{table}; ALTER TABLE {claim} ADD COLUMN more text"),
        format!("{table}; CREATE TABLE aside.child () INHERITS ({claim})"),
        format!("{table}; CREATE INDEX ON {claim} (lower(stack))"),
        format!("{table}; CREATE INDEX ON {claim} (stack) WHERE created"),
        format!("{table}; ALTER TABLE {claim} ENABLE ROW LEVEL SECURITY"),
        format!("{table}; CREATE RULE ring AS ON INSERT TO {claim} DO ALSO SELECT 1"),
        format!(
            "{table}; CREATE TRIGGER ring BEFORE INSERT ON {claim} EXECUTE FUNCTION aside.ring()"
        ),
        format!(
            "{table}; CREATE TABLE aside.child (a text, b text, c text, d text,
                          FOREIGN KEY (a, b, c, d) REFERENCES {claim})"
        ),
    ] {
        env.database.query(&format!("CREATE SCHEMA cfn_postgres_extensions; {made}"));
        let response = env.deliver_once(&env.event("Create", &properties));
        assert_eq!(response.status, "FAILED", "{made}");
        response.failed(&["not the table of this function"]);
        env.database.query("DROP SCHEMA cfn_postgres_extensions CASCADE");
        env.database.query("DROP TABLE IF EXISTS aside.child");
    }
    env.database.query(&format!("CREATE SCHEMA cfn_postgres_extensions; {table}"));
    env.create_with(&properties).succeeded();
}
