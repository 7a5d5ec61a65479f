//! Objects of a database's owner with the names of the server's own: none is ever run. Every event is
//! sent twice.

use crate::support::cluster::Cluster;
use crate::support::database::{Database, Server};
use crate::support::resource::Resource;
use crate::support::response::Response;
use crate::support::test_environment::TestEnvironment;
use serde_json::json;

/// Everything of `pg_catalog` once more, in a schema of the owner's.
const TRAPS: &str = include_str!("../../support/traps.sql");

/// The owner of a database.
const OWNER: &str = "mallory";

/// What an owner may set, so that the traps come before the server's own.
const FIRST: &str = "trap, pg_catalog, public";

/// The same where the server's own come first: the scripts of extensions are run.
const BEHIND: &str = "trap, public";

/// A database full of traps, and a function whose role is a superuser or the database's owner.
struct Trapped {
    env: TestEnvironment,
    cluster: Cluster,
    /// Everybody's rights before anything happened.
    rights: Vec<Vec<String>>,
}

impl Trapped {
    fn new(superuser: bool) -> Self {
        let cluster = Cluster::start(&[]);
        let database = Database::at(cluster.server, "app");
        database.role_called(OWNER, "of the owner", "");
        database.query(&format!("ALTER DATABASE app OWNER TO {OWNER}"));
        if !superuser {
            database.query(&format!("SET ROLE {OWNER}"));
        }
        // They are the function's role's own: where they are anybody else's no script is run.
        database.query(TRAPS);
        database.query("RESET ROLE");
        let made = "SELECT kind || 's: ' || count(*) FROM trap.made GROUP BY kind ORDER BY kind";
        println!("{:?}", database.query(made));
        let count = database.value("SELECT count(*) FROM trap.made");
        assert!(count.parse().is_ok_and(|count: u32| count > 2000), "only {count} traps");
        let env = TestEnvironment::with(database, &[]);
        if !superuser {
            env.credentials(OWNER, "of the owner");
        }
        let rights = rights(cluster.server);
        let trapped = Self { env, cluster, rights };
        trapped.check_the_traps();
        trapped
    }

    /// Has every session from now on look there first.
    fn set(&self, path: &str) {
        self.env.database.query(&format!(
            "ALTER DATABASE app SET search_path = {path}; ALTER ROLE {OWNER} SET search_path = {path}"
        ));
    }

    /// An unqualified query runs them.
    fn check_the_traps(&self) {
        for (kind, careless) in [
            ("function", "SELECT lower('X')"),
            ("operator", "SELECT 'x'::pg_catalog.name <> 'y'::pg_catalog.name"),
            ("view", "TABLE pg_extension"),
            ("type", "SELECT 'x'::name"),
        ] {
            let session = self.cluster.server.connect("app");
            let _ = session.attempt(&format!("SET search_path = {FIRST}; {careless}"));
            assert_eq!(self.sprung(), kind, "{careless}");
            self.env.database.query("SELECT setval('trap.sprung', 1, false)");
        }
    }

    /// The kind of what was sprung last.
    fn sprung(&self) -> String {
        self.env.database.value(
            "SELECT coalesce((SELECT kind FROM trap.made WHERE is_called AND number = last_value), '')
             FROM trap.sprung",
        )
    }

    /// Nothing was run, and no role has gained any rights.
    #[track_caller]
    fn unharmed(&self, response: Response) -> Response {
        let sprung = self.env.database.query(
            "SELECT kind, name FROM trap.made, trap.sprung WHERE is_called AND number = last_value",
        );
        assert_eq!(sprung, Vec::<Vec<String>>::new(), "sprung by: {response:#?}");
        assert_eq!(rights(self.cluster.server), self.rights, "{response:#?}");
        response
    }
}

/// Every role, with what it may do and whose member it is.
fn rights(server: &Server) -> Vec<Vec<String>> {
    server.connect("postgres").query(
        "SELECT rolname, rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls,
                ARRAY(SELECT roleid::regrole FROM pg_auth_members WHERE member = r.oid ORDER BY 1)
         FROM pg_roles AS r ORDER BY rolname",
    )
}

fn nothing_is_run(superuser: bool) {
    let trapped = Trapped::new(superuser);
    let env = &trapped.env;
    let mut it = Resource::new(env, "a", "Drop");

    trapped.set(BEHIND);
    // The server lets nobody else move what a superuser's script made.
    let at = |version: &str, schema: &str| json!({ "Version": version, "Schema": if superuser { schema } else { "public" } });
    let map = json!({ "hstore": "1.4", "cube": "" });
    let dry = json!({ "PluginsMap": map, "DryRun": "true" });
    trapped.unharmed(env.deliver_once(&env.event("Create", &dry))).succeeded();
    trapped.unharmed(it.create(&map)).succeeded();
    let map = json!({ "hstore": at("1.6", "s"), "citext": "" });
    let updated = trapped.unharmed(it.update(&map)).succeeded();
    assert!(updated.data("Changes").contains("dropped cube"), "{updated:#?}");

    trapped.set(FIRST);
    let moved = json!({ "hstore": at("1.6", "t"), "citext": "" });
    trapped.unharmed(it.update(&moved)).succeeded();
    trapped.unharmed(it.update(&json!({ "hstore": at("1.6", "t") }))).succeeded();
    assert_eq!(env.database.installed(), "hstore 1.6");
    let latest = at("latest", "t");
    for map in [json!({ "hstore": latest }), json!({ "hstore": latest, "pg_trgm": "" })] {
        let words = ["no extension script is run", FIRST];
        trapped.unharmed(it.update(&map)).failed(&words);
        let dry = json!({ "PluginsMap": map, "DryRun": "true" });
        trapped.unharmed(env.deliver_once(&env.event("Create", &dry))).failed(&words);
    }

    // All databases of the server are asked for in this one.
    let every = json!({ "PluginsMap": { "plpgsql": "any" }, "Databases": "*" });
    if superuser {
        trapped.unharmed(env.create_with(&every)).succeeded();
    }

    let other = Database::at(trapped.cluster.server, "other");
    other.query(&format!(
        "ALTER ROLE {OWNER} RESET search_path; GRANT CREATE ON DATABASE other TO {OWNER}"
    ));
    let here = env.database.secret(OWNER, "of the owner");
    env.secrets.put("staging/db", "AWSCURRENT", here.to_string());
    let from = json!({ "PluginsFrom": "staging/db", "Databases": "other" });
    trapped.unharmed(env.create_with(&from)).succeeded();
    assert_eq!(other.installed(), env.database.installed());

    trapped.unharmed(it.delete()).succeeded();
    assert!(!env.database.installed().contains("hstore"), "it is dropped");
}

#[test]
fn objects_that_shadow_the_catalog_are_never_run_as_a_superuser() {
    nothing_is_run(true);
}

#[test]
fn objects_that_shadow_the_catalog_are_never_run_as_the_owner() {
    nothing_is_run(false);
}

#[test]
fn an_owner_with_an_operator_stays_no_superuser() {
    let cluster = Cluster::start(&[]);
    let database = Database::at(cluster.server, "app");
    database.role_called(OWNER, "of the owner", "");
    database.query(&format!("ALTER DATABASE app OWNER TO {OWNER}; SET ROLE {OWNER}"));
    database.query(
        "CREATE SCHEMA evil;
         CREATE FUNCTION evil.ne(name, name) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
           EXECUTE 'ALTER ROLE mallory SUPERUSER'; RETURN pg_catalog.namene($1, $2); END $$;
         CREATE OPERATOR evil.<> (FUNCTION = evil.ne, LEFTARG = name, RIGHTARG = name);
         ALTER DATABASE app SET search_path = evil, pg_catalog, public;
         RESET ROLE",
    );
    let before = rights(cluster.server);
    let env = TestEnvironment::with(database, &[]);
    let mut it = Resource::new(&env, "a", "Drop");
    let every = json!({ "PluginsMap": { "plpgsql": "any" }, "Databases": "*" });
    it.deliver("Create", &every).succeeded();
    assert_eq!(rights(cluster.server), before);
    let scripts = json!({ "PluginsMap": { "hstore": "" }, "Databases": "*" });
    it.deliver("Update", &scripts)
        .failed(&["no extension script is run", "`evil, pg_catalog, public`"]);
    assert_eq!(rights(cluster.server), before);
    it.delete().succeeded();
    assert_eq!(rights(cluster.server), before);
}
