//! The version `absent`: an extension that shall not be there is dropped, whoever created it.

use crate::support::database::{Database, server};
use crate::support::databases::{create, names, with_others};
use crate::support::resource::{Resource, claims};
use crate::support::test_environment::TestEnvironment;
use serde_json::{Value, json};

/// A test environment whose database has what these statements create.
fn with(statements: &str) -> TestEnvironment {
    let env = TestEnvironment::new();
    env.database.query(statements);
    env
}

const HSTORE: &str = "CREATE EXTENSION hstore VERSION '1.7'";

#[test]
fn an_extension_created_by_hand_is_dropped_under_every_policy() {
    for policy in ["Retain", "Drop", "DropCascade"] {
        let env = with(HSTORE);
        let mut it = Resource::new(&env, "a", policy);
        let response = it.create(&json!({ "hstore": "absent" })).succeeded();
        assert_eq!(response.data("Changes"), "dropped hstore 1.7");
        assert_eq!(response.data("hstore"), "absent");
        assert_eq!(response.data("Before"), "hstore 1.7, plpgsql 1.0");
        assert_eq!(response.data("After"), "plpgsql 1.0");
        response.logged("Running DROP EXTENSION \"hstore\" RESTRICT ...");
        assert_eq!(claims(&env.database), "none");
        env.database.query(HSTORE);
        it.delete().succeeded();
        assert_eq!(env.database.installed(), "hstore 1.7", "a Delete wants nothing absent");
    }
}

#[test]
fn an_adopted_extension_is_dropped_and_its_claim_goes() {
    let env = with(HSTORE);
    let mut it = Resource::new(&env, "a", "Drop");
    it.create(&json!({ "hstore": "any", "citext": "" })).succeeded();
    assert_eq!(claims(&env.database), "a citext created, a hstore");
    let response = it.update(&json!({ "hstore": "absent", "citext": "" })).succeeded();
    assert_eq!(response.data("Changes"), "dropped hstore 1.7");
    assert_eq!(claims(&env.database), "a citext created");
    it.delete().succeeded();
    assert_eq!(env.database.installed(), "");
}

#[test]
fn from_a_version_to_absent_and_back() {
    let env = TestEnvironment::new();
    let mut it = Resource::new(&env, "a", "Drop");
    it.create(&json!({ "hstore": "1.7" })).succeeded();
    let response = it.update(&json!({ "hstore": "absent" })).succeeded();
    assert_eq!(response.data("Changes"), "dropped hstore 1.7");
    assert_eq!(claims(&env.database), "none", "the last claim takes the schema along");
    let response = it.update(&json!({ "hstore": "1.6" })).succeeded();
    assert_eq!(response.data("Changes"), "created hstore 1.6");
    assert_eq!(claims(&env.database), "a hstore created");
    it.delete().succeeded();
    assert_eq!(env.database.installed(), "");
}

#[test]
fn a_stack_that_is_rolled_back_creates_it_again() {
    let env = TestEnvironment::new();
    let mut it = Resource::new(&env, "a", "Drop");
    let before = json!({ "hstore": "1.7" });
    it.create(&before).succeeded();
    it.update(&json!({ "hstore": "absent" })).succeeded();
    let response = it.update(&before).succeeded();
    assert_eq!(response.data("Changes"), "created hstore 1.7");
    assert_eq!(claims(&env.database), "a hstore created");
}

#[test]
fn an_update_that_fails_drops_nothing_nor_does_its_rollback() {
    let env = TestEnvironment::new();
    let mut it = Resource::new(&env, "a", "Drop");
    let before = json!({ "hstore": "1.7" });
    it.create(&before).succeeded();
    env.run_after_create("citext", "RAISE EXCEPTION 'not today'");
    let wanted = json!({ "hstore": "absent", "citext": "" });
    it.update(&wanted).failed(&["not today"]);
    assert_eq!(env.database.installed(), "hstore 1.7");
    let mut rollback = it.event("Update", &json!({ "PluginsMap": before }));
    rollback["OldResourceProperties"]["PluginsMap"] = wanted;
    let response = env.deliver(&rollback).succeeded();
    assert_eq!(response.data("Changes"), "none");
    assert_eq!(claims(&env.database), "a hstore created");
}

#[test]
fn an_extension_that_a_listed_one_requires() {
    let env = TestEnvironment::new();
    let map = json!({ "earthdistance": "any", "cube": "absent" });
    let words = [
        "`cube` is wanted `absent`, and `earthdistance`, which is wanted too, requires it: leave one of \
         them out",
    ];
    let response = env.create(&map).failed(&words);
    assert_eq!(response.id, "Extensions-create-failed");
    assert_eq!(env.database.installed(), "");
    env.database.query("CREATE EXTENSION earthdistance CASCADE");
    env.create(&map).failed(&words);
    assert_eq!(env.database.installed(), env.with_default_versions("cube 1.5, earthdistance 1.1"));
}

#[test]
fn an_extension_that_an_unlisted_one_requires() {
    let env = with("CREATE EXTENSION earthdistance CASCADE; CREATE EXTENSION hstore");
    env.create(&json!({ "cube": "absent", "hstore": "absent" })).failed(&[
        "`cube` cannot be dropped: extension earthdistance depends on it; drop or change that first",
    ]);
    assert!(env.database.installed().contains("hstore"), "all or nothing");
    let response = env.create(&json!({ "cube": "absent", "earthdistance": "absent" })).succeeded();
    assert_eq!(
        response.data("Changes"),
        env.with_default_versions("dropped cube 1.5; dropped earthdistance 1.1")
    );
}

#[test]
fn objects_that_depend_on_it() {
    let env = with(HSTORE);
    env.database.query(
        "CREATE TABLE public.shops (id int, tags hstore);
         CREATE VIEW public.tagged AS SELECT id, tags -> 'x' AS x FROM public.shops",
    );
    for policy in ["Retain", "DropCascade"] {
        let mut it = Resource::new(&env, "a", policy);
        let response = it.create(&json!({ "hstore": "absent", "citext": "" })).failed(&[
            "`hstore` cannot be dropped: table column public.shops.tags, view public.tagged depend on it; \
             drop or change them first",
        ]);
        assert!(!response.reason.contains("DropCascade"), "no policy helps: {}", response.reason);
        assert_eq!(env.database.installed(), "hstore 1.7");
    }
    env.database.query("DROP TABLE public.shops CASCADE");
    env.create(&json!({ "hstore": "absent" })).succeeded();
}

#[test]
fn rows_of_the_user_in_its_tables() {
    let env = with(
        "CREATE EXTENSION keeper SCHEMA public; INSERT INTO public.kept VALUES (1, false), (2, true)",
    );
    let mut it = Resource::new(&env, "a", "DropCascade");
    let response = it.create(&json!({ "keeper": "absent" })).failed(&[
        "`keeper` is not dropped: its table `public.kept` has rows of yours, which would be lost; delete \
         them first",
    ]);
    assert!(!response.reason.contains("DropCascade"), "{}", response.reason);
    env.database.query("DELETE FROM public.kept WHERE mine");
    let response = it.create(&json!({ "keeper": "absent" })).succeeded();
    assert_eq!(response.data("Changes"), "dropped keeper 1.0");
}

#[test]
fn a_claim_of_another_resource() {
    let env = with(HSTORE);
    let mut other = Resource::new(&env, "b", "Drop");
    other.create(&json!({ "hstore": "any" })).succeeded();
    let message = format!(
        "`hstore` is wanted `absent`, and resource `Extensions` of {} lists it: remove it there first, or, if \
         that stack is gone, delete its rows from `cfn_postgres_extensions.claim`",
        other.stack
    );
    let mut it = Resource::new(&env, "a", "Drop");
    it.create(&json!({ "hstore": "1.7" })).succeeded();
    for policy in ["Retain", "Drop", "DropCascade"] {
        it.policy = policy;
        it.update(&json!({ "hstore": "absent" })).failed(&[&message]);
        assert_eq!(env.database.installed(), "hstore 1.7");
        assert_eq!(claims(&env.database), "a hstore, b hstore", "all or nothing");
    }
    other.update(&json!({})).succeeded();
    it.update(&json!({ "hstore": "absent" })).succeeded();
    assert_eq!(env.database.installed(), "");
    assert_eq!(claims(&env.database), "none");
}

#[test]
fn claims_that_cannot_be_believed() {
    let env = with(HSTORE);
    let mut other = Resource::new(&env, "b", "Drop");
    other.create(&json!({ "hstore": "any" })).succeeded();
    let somebody = env.database.role("pw", "");
    let begin = "what is wanted `absent` (`hstore`) may be listed by another resource, and \
                 `cfn_postgres_extensions.claim`, which would say so, ";
    for (sql, end) in [
        (
            format!("ALTER TABLE cfn_postgres_extensions.claim OWNER TO {somebody}"),
            format!("cannot be trusted: it, or its schema, belongs to role `{somebody}`"),
        ),
        (
            format!(
                "ALTER TABLE cfn_postgres_extensions.claim OWNER TO {};
                 ALTER TABLE cfn_postgres_extensions.claim ADD mine int",
                server().user
            ),
            "is not the table of this function".to_owned(),
        ),
    ] {
        env.database.query(&sql);
        env.create(&json!({ "hstore": "absent" })).failed(&[&format!("{begin}{end}")]);
        assert_eq!(env.database.installed(), "hstore 1.7");
        env.create(&json!({ "cube": "absent" })).succeeded();
    }
}

#[test]
fn a_role_without_rights() {
    let env = with(HSTORE);
    let database = &env.database;
    let role = database.role("role's", "");
    env.credentials(&role, "role's");
    env.create(&json!({ "hstore": "absent" })).failed(&[&format!(
        "`hstore` is installed and not owned by role `{role}`, which therefore cannot change or drop it: \
         use a secret of its owner"
    )]);
    env.create(&json!({ "cube": "absent" })).succeeded();
    // Its own extension, and claims that it may not read.
    let admin = &server().user;
    database.query(&format!(
        "GRANT CREATE ON DATABASE {} TO {role}; GRANT ALL ON SCHEMA public TO {role};
         SET ROLE {role}; CREATE EXTENSION citext; RESET ROLE",
        database.name
    ));
    env.credentials(admin, &server().password);
    Resource::new(&env, "b", "Drop").create(&json!({ "pg_trgm": "" })).succeeded();
    env.credentials(&role, "role's");
    env.create(&json!({ "citext": "absent" })).failed(&[&format!(
        "(`citext`) may be listed by another resource, and `cfn_postgres_extensions.claim`, which would \
         say so, may not be read by role `{role}`: as `{admin}`, GRANT USAGE ON SCHEMA \
         cfn_postgres_extensions and SELECT ON its table `claim`"
    )]);
    database.query(&format!(
        "GRANT USAGE ON SCHEMA cfn_postgres_extensions TO {role};
         GRANT SELECT ON cfn_postgres_extensions.claim TO {role}"
    ));
    let response = env.create(&json!({ "citext": "absent" })).succeeded();
    assert_eq!(response.data("Changes"), env.with_default_versions("dropped citext 1.6"));
}

#[test]
fn several_databases_and_one_that_cannot() {
    let (env, others) = with_others(2);
    let all = json!(names(&env, &others));
    for database in [&env.database, &others[0]] {
        database.query(HSTORE);
    }
    others[0].query("CREATE TABLE public.shops (id int, tags hstore)");
    create(&env, &all, &json!({ "hstore": "absent" })).failed(&[
        &others[0].name,
        "`hstore` cannot be dropped: table column public.shops.tags depends on it",
    ]);
    assert_eq!(env.database.installed(), "hstore 1.7", "all databases, or none");
    others[0].query("DROP TABLE public.shops");
    let response = create(&env, &all, &json!({ "hstore": "absent" })).succeeded();
    assert_eq!(response.data("hstore"), "absent");
    assert_eq!(
        response.data("Changes"),
        format!(
            "{}: dropped hstore 1.7; {}: dropped hstore 1.7",
            env.database.name, others[0].name
        )
    );
    assert_eq!(others[0].installed(), "");
}

#[test]
fn a_database_that_is_left_keeps_it() {
    let env = TestEnvironment::new();
    let other = Database::create();
    let mut it = Resource::new(&env, "a", "Drop");
    let both = json!([env.database.name, other.name]);
    let one = json!([env.database.name]);
    let map = json!({ "hstore": "absent" });
    it.deliver("Create", &json!({ "PluginsMap": map, "Databases": both })).succeeded();
    other.query(HSTORE);
    it.deliver("Update", &json!({ "PluginsMap": map, "Databases": one })).succeeded();
    assert_eq!(other.installed(), "hstore 1.7");
}

#[test]
fn the_language_plpgsql() {
    let env = with(HSTORE);
    env.create(&json!({ "PLpgSQL": "absent", "hstore": "absent" }))
        .failed(&["`plpgsql` is wanted `absent`, and is never dropped: leave it out"]);
    assert_eq!(env.database.installed(), "hstore 1.7");
    env.database.query("DROP EXTENSION plpgsql");
    let response = env.create(&json!({ "PLpgSQL": "absent", "hstore": "absent" })).succeeded();
    assert_eq!(response.data("plpgsql"), "absent");
    assert_eq!(response.data("After"), "", "no extension is left at all");
}

#[test]
fn a_name_that_no_server_knows() {
    let env = TestEnvironment::new();
    let response = env.create(&json!({ "pgvector": "absent", "Gone": "absent" })).succeeded();
    assert_eq!(response.data("Changes"), "none");
    assert_eq!(response.data("pgvector"), "absent");
    assert_eq!(response.data("Gone"), "absent", "as the template spells it");
}

#[test]
fn an_extension_whose_files_are_gone() {
    let env = with(&format!(
        "{HSTORE}; UPDATE pg_extension SET extname = 'gone' WHERE extname = 'hstore'"
    ));
    let response = env.create(&json!({ "Gone": "absent" })).succeeded();
    assert_eq!(response.data("Changes"), "dropped gone 1.7");
    assert_eq!(response.data("Gone"), "absent", "the second time, no server knows it");
}

#[test]
fn the_case_of_its_name() {
    let env = with("CREATE EXTENSION hstore; CREATE EXTENSION \"Twin\"");
    env.create(&json!({ "TWIN": "absent" }))
        .failed(&["`TWIN` could be `Twin`, `twin`: spell it as the server does"]);
    env.create(&json!({ "hstore": "absent", "Hstore": "any" }))
        .failed(&["`Hstore` and `hstore` are the same extension, `hstore`: keep one of them"]);
    env.create(&json!({ "hstore": "ABSENT" })).failed(&["did you mean `absent`?"]);
    let response = env.create(&json!({ "HSTORE": "absent", "twin": "absent" })).succeeded();
    assert_eq!(response.data("hstore"), "absent");
    assert_eq!(response.data("twin"), "absent");
    assert_eq!(env.database.installed(), "Twin 1.0");
}

#[test]
fn a_schema_beside_it() {
    let env = with(HSTORE);
    env.create(&json!({ "hstore": { "Version": "absent", "Schema": "public" } }))
        .failed(&["`hstore` is wanted `absent` and has a `Schema`: leave that out"]);
    assert_eq!(env.database.installed(), "hstore 1.7");
    env.create(&json!({ "hstore": { "Version": "absent" } })).succeeded();
    assert_eq!(env.database.installed(), "");
}

#[test]
fn together_with_what_the_resource_created_it_is_a_restrict() {
    let env = with("CREATE EXTENSION citext");
    let mut it = Resource::new(&env, "a", "DropCascade");
    it.create(&json!({ "hstore": "1.7" })).succeeded();
    env.database.query("CREATE TABLE public.shops (id int, tags hstore)");
    let response = it.update(&json!({ "citext": "absent" })).failed(&[
        "`hstore` cannot be dropped: table column public.shops.tags depends on it; drop or change that \
         first",
    ]);
    assert!(!response.reason.contains("use `RemovalPolicy"), "{}", response.reason);
    assert_eq!(env.database.installed(), env.with_default_versions("citext 1.6, hstore 1.7"));
    let response = it.update(&json!({})).succeeded();
    assert_eq!(
        response.data("Changes"),
        "dropped hstore 1.7; dropped along with that: table column public.shops.tags"
    );
    it.create(&json!({ "hstore": "1.7" })).succeeded();
    let response = it.update(&json!({ "citext": "absent" })).succeeded();
    assert_eq!(
        response.data("Changes"),
        env.with_default_versions("dropped citext 1.6; dropped hstore 1.7")
    );
    response.logged("Running DROP EXTENSION \"citext\", \"hstore\" RESTRICT ...");
}

#[test]
fn a_dry_run() {
    let env = with(HSTORE);
    let dry = |map: Value| env.event("Create", &json!({ "PluginsMap": map, "DryRun": "true" }));
    let response = env.deliver_once(&dry(json!({ "hstore": "absent" }))).succeeded();
    assert_eq!(response.data("hstore"), "absent");
    assert_eq!(response.data("Changes"), "dropped hstore 1.7");
    assert_eq!(response.data("After"), "plpgsql 1.0");
    response.logged("Dry run: DROP EXTENSION \"hstore\" RESTRICT;");
    assert_eq!(env.database.installed(), "hstore 1.7");
    env.database.query("CREATE VIEW public.v AS SELECT hstore('a', 'b') AS a");
    env.deliver_once(&dry(json!({ "hstore": "absent" }))).failed(&["view public.v depends on it"]);
}
