//! What becomes of extensions that leave the map, and of all of them at the end.

use crate::support::database::{Database, server};
use crate::support::resource::{Resource, claims};
use crate::support::test_environment::TestEnvironment;
use serde_json::json;

#[test]
fn what_it_created_goes_and_what_was_there_stays() {
    let env = TestEnvironment::new();
    env.database.query("CREATE EXTENSION citext");
    let mut it = Resource::new(&env, "a", "Drop");
    let response =
        it.create(&json!({ "citext": "any", "hstore": "1.7", "earthdistance": "" })).succeeded();
    assert_eq!(
        response.data("Changes"),
        env.with_default_versions(
            "created cube 1.5 (required by earthdistance); created earthdistance 1.1; \
         created hstore 1.7; left citext 1.6 unclaimed (it was there before)"
        )
    );
    assert_eq!(
        claims(&env.database),
        "a citext, a cube created, a earthdistance created, a hstore created"
    );
    let response = it.delete().succeeded();
    assert!(
        response.reason.contains(&env.with_default_versions(
            "dropped cube 1.5; dropped earthdistance 1.1; dropped hstore 1.7"
        )),
        "{response:#?}"
    );
    assert_eq!(env.database.installed(), env.with_default_versions("citext 1.6"));
    assert_eq!(claims(&env.database), "none", "the last claim takes the schema along");
}

#[test]
fn an_entry_that_leaves_the_map() {
    let env = TestEnvironment::new();
    let mut it = Resource::new(&env, "a", "Drop");
    it.create(&json!({ "hstore": "1.6", "earthdistance": "" })).succeeded();
    let response = it.update(&json!({ "hstore": "1.7" })).succeeded();
    assert_eq!(
        response.data("Changes"),
        env.with_default_versions(
            "updated hstore 1.6 to 1.7; dropped cube 1.5; dropped earthdistance 1.1"
        )
    );
    assert_eq!(env.database.installed(), "hstore 1.7");
    assert_eq!(claims(&env.database), "a hstore created");
    it.update(&json!({})).succeeded();
    assert_eq!(env.database.installed(), "");
    assert_eq!(claims(&env.database), "none");
}

#[test]
fn two_stacks_share_an_extension() {
    let env = TestEnvironment::new();
    let mut first = Resource::new(&env, "a", "Drop");
    let mut second = Resource::new(&env, "b", "Drop");
    first.create(&json!({ "hstore": "1.7" })).succeeded();
    second.create(&json!({ "hstore": "any" })).succeeded();
    assert_eq!(claims(&env.database), "a hstore created, b hstore");
    first.delete().succeeded();
    assert_eq!(env.database.installed(), "hstore 1.7", "the other one lists it");
    assert_eq!(claims(&env.database), "b hstore created", "and owns it from now on");
    second.delete().succeeded();
    assert_eq!(env.database.installed(), "");
    assert_eq!(claims(&env.database), "none");
}

#[test]
fn nothing_is_dropped_that_something_depends_on() {
    let env = TestEnvironment::new();
    let mut it = Resource::new(&env, "a", "Drop");
    it.create(&json!({ "hstore": "1.7", "citext": "" })).succeeded();
    env.database.query(
        "CREATE TABLE public.shops (id int, tags hstore);
         CREATE VIEW public.tagged AS SELECT id, tags -> 'x' AS x FROM public.shops",
    );
    it.delete().failed(&[
        "hstore",
        "view public.tagged",
        "table column public.shops.tags",
        "DropCascade",
    ]);
    assert_eq!(
        env.database.installed(),
        env.with_default_versions("citext 1.6, hstore 1.7"),
        "nothing else either"
    );
    it.update(&json!({ "citext": "" })).failed(&["table column public.shops.tags"]);
    it.policy = "DropCascade";
    let response = it.update(&json!({ "citext": "" })).succeeded();
    assert_eq!(
        response.data("Changes"),
        "dropped hstore 1.7; dropped along with that: table column public.shops.tags, view public.tagged"
    );
    assert_eq!(env.database.installed(), env.with_default_versions("citext 1.6"));
}

// `make test-arm64` runs this one: a Create, an Update and a Delete.
#[test]
fn several_databases_and_one_that_is_left() {
    let env = TestEnvironment::new();
    let other = Database::create();
    let mut it = Resource::new(&env, "a", "Drop");
    let both = json!([env.database.name, other.name]);
    let one = json!([env.database.name]);
    let map = json!({ "hstore": "1.7" });
    it.deliver("Create", &json!({ "PluginsMap": map, "Databases": both })).succeeded();
    let response =
        it.deliver("Update", &json!({ "PluginsMap": map, "Databases": one })).succeeded();
    assert_eq!(response.data("Changes"), format!("{}: dropped hstore 1.7", other.name));
    assert_eq!(other.installed(), "");
    assert_eq!(claims(&other), "none");
    assert_eq!(env.database.installed(), "hstore 1.7");
    it.delete().succeeded();
    assert_eq!(env.database.installed(), "");
}

#[test]
fn a_policy_that_changes() {
    let env = TestEnvironment::new();
    let mut it = Resource::new(&env, "a", "Retain");
    it.create(&json!({ "hstore": "1.7" })).succeeded();
    assert_eq!(claims(&env.database), "none", "`Retain` claims nothing");
    it.policy = "Drop";
    let response = it.update(&json!({ "hstore": "1.7", "citext": "" })).succeeded();
    assert_eq!(
        response.data("Changes"),
        env.with_default_versions(
            "created citext 1.6; left hstore 1.7 unclaimed (it was there before)"
        )
    );
    assert_eq!(claims(&env.database), "a citext created, a hstore");
    it.update(&json!({})).succeeded();
    assert_eq!(env.database.installed(), "hstore 1.7", "it was not created under `Drop`");
    it.update(&json!({ "pg_trgm": "" })).succeeded();
    it.policy = "Retain";
    it.update(&json!({ "pg_trgm": "" })).succeeded();
    assert_eq!(claims(&env.database), "none", "it owns and protects nothing any more");
    it.policy = "Drop";
    it.delete().succeeded();
    assert_eq!(env.database.installed(), env.with_default_versions("hstore 1.7, pg_trgm 1.6"));
}

#[test]
fn what_was_dropped_and_created_by_hand_has_no_owner() {
    let env = TestEnvironment::new();
    let mut it = Resource::new(&env, "a", "DropCascade");
    it.create(&json!({ "hstore": "1.7", "citext": "" })).succeeded();
    env.database.query("DROP EXTENSION hstore; CREATE EXTENSION hstore");
    it.delete().succeeded();
    assert_eq!(env.database.installed(), env.with_default_versions("hstore 1.8"));
    assert_eq!(claims(&env.database), "none");
}

#[test]
fn rows_of_the_user_in_an_extensions_tables() {
    let env = TestEnvironment::new();
    let mut it = Resource::new(&env, "a", "Drop");
    let create = |it: &mut Resource| it.create(&json!({ "keeper": "" })).succeeded();
    create(&mut it);
    env.database.query("INSERT INTO public.kept VALUES (1, false)");
    it.delete().succeeded();
    assert_eq!(env.database.installed(), "", "those rows are the extension's own");
    create(&mut it);
    env.database.query("INSERT INTO public.kept VALUES (2, true)");
    it.delete().failed(&["keeper", "public.kept", "rows of yours", "DropCascade"]);
    assert_eq!(env.database.value("SELECT count(*) FROM public.kept"), "1");
    it.policy = "DropCascade";
    let response = it.update(&json!({})).succeeded();
    assert_eq!(
        response.data("Changes"),
        "dropped keeper 1.0; dropped along with that: the rows of public.kept"
    );
}

#[test]
fn an_extension_is_replaced_by_one_with_the_same_objects() {
    let env = TestEnvironment::new();
    for policy in ["Drop", "DropCascade"] {
        let mut it = Resource::new(&env, policy, policy);
        it.create(&json!({ "keeper": "" })).succeeded();
        let response = it.update(&json!({ "successor": "" })).succeeded();
        assert_eq!(response.data("Changes"), "created successor 1.0; dropped keeper 1.0");
        it.delete().succeeded();
        // Both or neither.
        it.create(&json!({ "keeper": "" })).succeeded();
        env.run_after_create("successor", "RAISE 'not here'");
        it.update(&json!({ "successor": "" })).failed(&["not here"]);
        assert_eq!(env.database.installed(), "keeper 1.0");
        env.database.query("DROP FUNCTION public.run_after_create CASCADE");
        it.delete().succeeded();
    }
    env.database.query("CREATE EXTENSION keeper");
    let map = json!({ "keeper": "absent", "successor": "" });
    assert_eq!(env.create(&map).data("Changes"), "created successor 1.0; dropped keeper 1.0");
}

#[test]
fn a_schema_that_was_created_stays() {
    let env = TestEnvironment::new();
    let mut it = Resource::new(&env, "a", "DropCascade");
    it.create(&json!({ "hstore": { "Schema": "ext" }, "housed": "" })).succeeded();
    it.delete().succeeded();
    assert_eq!(env.database.installed(), "");
    let schemas = "SELECT count(*) FROM pg_namespace WHERE nspname IN ('ext', 'housed_home')";
    assert_eq!(env.database.value(schemas), "2");
}

#[test]
fn rows_that_the_extensions_script_inserted_are_its_own() {
    let env = TestEnvironment::new();
    let mut it = Resource::new(&env, "a", "Drop");
    let refused = ["seeded", "public.seeds", "rows of yours"];
    let again = |it: &mut Resource| it.create(&json!({ "seeded": "", "hstore": "" })).succeeded();
    again(&mut it);
    it.delete().succeeded();
    assert_eq!(env.database.installed(), "");
    for change in [
        "INSERT INTO public.seeds VALUES (3)",
        "UPDATE public.seeds SET id = 4 WHERE id = 2",
        // As when another resource inherits it: then no claim says so.
        "UPDATE cfn_postgres_extensions.claim SET extension = extension",
    ] {
        again(&mut it);
        env.database.query(change);
        it.delete().failed(&refused);
        it.policy = "DropCascade";
        it.update(&json!({})).succeeded();
        it.policy = "Drop";
    }
    again(&mut it);
    env.database.query("INSERT INTO public.seeds VALUES (3)");
    if env.database.dump_and_restore() {
        // One transaction has made all of it.
        it.delete().failed(&refused);
        it.update(&json!({ "seeded": "" })).succeeded();
        it.delete().failed(&refused);
    }
}

#[test]
fn many_dependents_are_counted_and_no_extension_among_them_is_overlooked() {
    let env = TestEnvironment::new();
    let mut it = Resource::new(&env, "a", "Drop");
    let mut other = Resource::new(&env, "b", "Drop");
    it.create(&json!({ "hstore": "", "cube": "" })).succeeded();
    let columns: Vec<_> = (1..=150).map(|at| format!("c{at} hstore")).collect();
    let columns = columns.join(", ");
    env.database.query(&format!("CREATE TABLE public.t (id int, x cube, {columns})"));
    it.delete().failed(&["`hstore` cannot be dropped: ", " and 138 more depend on it"]);
    it.delete().failed(&["`cube` cannot be dropped: table column public.t.x depends on it"]);
    other.create(&json!({ "leech": "" })).succeeded();
    it.policy = "DropCascade";
    it.update(&json!({ "cube": "" })).failed(&["extension `leech` depends on it", "stack/b/"]);
    other.delete().succeeded();
    let event = it.event("Update", &json!({ "PluginsMap": { "cube": "" } }));
    let response = env.deliver_once(&event).succeeded();
    let begin = "Running DROP EXTENSION \"hstore\" CASCADE, which takes along: ";
    let line = response.log.iter().find(|line| line.starts_with(begin)).expect("an announcement");
    assert!(line.ends_with(", 50 more ..."), "{line}");
}

#[test]
fn the_condition_of_such_a_table_has_the_usual_memory() {
    let env = TestEnvironment::new();
    let usual = env.database.value("SHOW work_mem");
    let mut it = Resource::new(&env, "a", "Drop");
    it.create(&json!({ "keeper": "" })).succeeded();
    env.database.query(&format!(
        "INSERT INTO public.kept VALUES (1, true);
         UPDATE pg_extension SET extcondition = ARRAY[$$WHERE current_setting('work_mem') <> '{usual}'$$]
         WHERE extname = 'keeper'"
    ));
    it.delete().succeeded();
    assert_eq!(env.database.installed(), "");
}

#[test]
fn a_replacement_on_the_same_server_under_another_name() {
    let env = TestEnvironment::new();
    let mut it = Resource::new(&env, "a", "Drop");
    let at = |host: &str| json!({ "PluginsMap": { "hstore": "1.7" }, "Host": host, "SslMode": "verify-ca" });
    it.deliver("Create", &at("localhost")).succeeded();
    let (old, before) = (it.id.clone(), it.properties.clone());
    let response = it.deliver("Update", &at("127.0.0.1")).succeeded();
    assert_ne!(response.id, old, "another server, as far as one can know");
    let (new, after) = (it.id.clone(), it.properties.clone());
    (it.id, it.properties) = (old, before);
    it.delete().succeeded();
    assert_eq!(env.database.installed(), "hstore 1.7", "the new one lists it");
    (it.id, it.properties) = (new, after);
    it.delete().succeeded();
    assert_eq!(env.database.installed(), "", "and owned it from then on");
}

#[test]
fn claims_survive_a_dump_and_restore() {
    let env = TestEnvironment::new();
    let mut it = Resource::new(&env, "a", "Drop");
    it.create(&json!({ "hstore": "", "citext": "" })).succeeded();
    let copy = Database::copy_of(&env.database);
    assert_eq!(claims(&copy), claims(&env.database), "the table was copied");
    if !env.database.dump_and_restore() {
        return;
    }
    it.update(&json!({ "hstore": "" })).succeeded();
    assert_eq!(
        env.database.installed(),
        env.with_default_versions("hstore 1.8"),
        "what it created is still its own"
    );
    env.database.query("DROP EXTENSION hstore; CREATE EXTENSION hstore");
    it.delete().succeeded();
    assert_eq!(
        env.database.installed(),
        env.with_default_versions("hstore 1.8"),
        "and what it did not create is not"
    );
    assert_eq!(claims(&env.database), "none");
    assert_eq!(
        copy.installed(),
        env.with_default_versions("citext 1.6, hstore 1.8"),
        "a copy is another database"
    );
}

#[test]
fn a_schema_name_that_is_taken() {
    let env = TestEnvironment::new();
    let database = &env.database;
    let somebody = database.role("pw", "");
    let mut it = Resource::new(&env, "a", "Drop");
    for (sql, words) in [
        (format!("CREATE SCHEMA cfn_postgres_extensions AUTHORIZATION {somebody}"), &*somebody),
        (
            format!(
                "CREATE SCHEMA cfn_postgres_extensions;
                 CREATE TABLE cfn_postgres_extensions.claim (stack text);
                 ALTER TABLE cfn_postgres_extensions.claim OWNER TO {somebody}"
            ),
            &*somebody,
        ),
        (
            "CREATE SCHEMA cfn_postgres_extensions;
             CREATE VIEW cfn_postgres_extensions.claim AS SELECT 1 AS stack"
                .to_owned(),
            "not the table of this function",
        ),
    ] {
        database.query(&sql);
        it.create(&json!({ "hstore": "1.7" })).failed(&[
            "cfn_postgres_extensions",
            words,
            "Retain",
        ]);
        assert_eq!(database.installed(), "", "all or nothing");
        // A Delete finds no claims there, and says so where there may be some.
        it.id = "Extensions-01234567".to_owned();
        let response = it.delete().succeeded();
        let unknown = response.reason.contains("left whatever this resource created");
        assert_eq!(unknown, sql.contains(".claim "), "{}", response.reason);
        it.id.clear();
        env.create(&json!({ "hstore": "1.7" })).succeeded();
        database.query("DROP EXTENSION hstore; DROP SCHEMA cfn_postgres_extensions CASCADE");
    }
    // An empty one of ours is used, and what else is in it stays.
    database.query(
        "CREATE SCHEMA cfn_postgres_extensions; CREATE TABLE cfn_postgres_extensions.mine (a int)",
    );
    it.create(&json!({ "hstore": "1.7" })).succeeded();
    assert_eq!(claims(database), "a hstore created");
    it.delete().succeeded();
    let tables = "SELECT string_agg(tablename, ',') FROM pg_tables
                  WHERE schemaname = 'cfn_postgres_extensions'";
    assert_eq!(database.value(tables), "mine");
}

#[test]
fn less_than_a_superuser() {
    let env = TestEnvironment::new();
    let database = &env.database;
    let (owner, guest) = (database.role("owner's", ""), database.role("guest's", ""));
    database.query(&format!("ALTER DATABASE {} OWNER TO {owner}", database.name));
    env.credentials(&owner, "owner's");
    let mut it = Resource::new(&env, "a", "Drop");
    it.create(&json!({ "hstore": "1.7", "citext": "" })).succeeded();
    assert_eq!(claims(database), "a citext created, a hstore created");

    env.credentials(&guest, "guest's");
    let mut other = Resource::new(&env, "b", "Drop");
    let response = other.create(&json!({ "hstore": "any" }));
    response.failed(&[&guest, &owner, "cfn_postgres_extensions", "OWNER TO"]);
    let mut retaining = Resource::new(&env, "c", "Retain");
    retaining.create(&json!({ "hstore": "any" })).succeeded();

    // A superuser's table, and a role that may write to it.
    for what in ["SCHEMA cfn_postgres_extensions", "TABLE cfn_postgres_extensions.claim"] {
        database.query(&format!("ALTER {what} OWNER TO {}", server().user));
    }
    other.create(&json!({ "hstore": "any" })).failed(&["GRANT", "SELECT", &guest]);
    database.query(&format!(
        "GRANT USAGE, CREATE ON SCHEMA cfn_postgres_extensions TO {guest}, {owner};
         GRANT SELECT, INSERT, UPDATE, DELETE ON cfn_postgres_extensions.claim TO {guest}, {owner}"
    ));
    other.create(&json!({ "hstore": "any" })).succeeded();
    env.credentials(&owner, "owner's");
    it.delete().succeeded();
    assert_eq!(database.installed(), "hstore 1.7", "the other one lists it");
    env.credentials(&guest, "guest's");
    other.delete().failed(&["hstore", "not owned by role", &guest]);
    env.credentials(&owner, "owner's");
    other.delete().succeeded();
    assert_eq!(database.installed(), "");
    assert_eq!(claims(database), "empty", "the table is a superuser's");
}

#[test]
fn a_table_of_claims_with_somebodys_trigger() {
    let env = TestEnvironment::new();
    let mut it = Resource::new(&env, "a", "Drop");
    it.create(&json!({ "hstore": "1.7" })).succeeded();
    env.database.query(
        "CREATE FUNCTION public.theirs() RETURNS trigger LANGUAGE plpgsql
           AS 'BEGIN RAISE EXCEPTION ''with your rights''; END';
         CREATE TRIGGER theirs BEFORE INSERT OR DELETE ON cfn_postgres_extensions.claim
           FOR EACH ROW EXECUTE FUNCTION public.theirs()",
    );
    let response = it.update(&json!({ "hstore": "1.7", "citext": "" }));
    let response = response.failed(&["not the table of this function"]);
    assert!(!response.reason.contains("with your rights"), "it did not run");
    assert_eq!(env.database.installed(), "hstore 1.7");
}
