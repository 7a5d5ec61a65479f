//! The key `'*'`: every extension that is installed and that the map does not name.

use crate::support::database::Database;
use crate::support::databases::{create, names, with_others};
use crate::support::resource::{Resource, claims};
use crate::support::test_environment::TestEnvironment;
use serde_json::json;

/// A test environment with two extensions that lag behind, and one that does not.
fn lagging() -> TestEnvironment {
    let env = TestEnvironment::new();
    lag(&env.database);
    env
}

fn lag(database: &Database) {
    database.query(
        "CREATE EXTENSION hstore VERSION '1.4'; CREATE EXTENSION pg_trgm VERSION '1.3';
         CREATE EXTENSION citext",
    );
}

#[test]
fn latest_updates_each_to_its_default() {
    let env = lagging();
    let response = env.create(&json!({ "*": "latest" })).succeeded();
    let [hstore, trgm] = ["hstore", "pg_trgm"].map(|name| env.default_version(name));
    assert_eq!(
        response.data("Changes"),
        format!("updated hstore 1.4 to {hstore}; updated pg_trgm 1.3 to {trgm}")
    );
    for name in ["citext", "hstore", "pg_trgm", "plpgsql"] {
        assert_eq!(response.data(name), env.default_version(name));
    }
    assert!(!response.data.contains_key("*"), "{:#?}", response.data);
    let response = env.update(&response, &json!({ "*": { "Version": "latest" } })).succeeded();
    assert_eq!(response.data("Changes"), "none");
}

#[test]
fn any_changes_nothing_and_data_lists_each() {
    let env = lagging();
    for any in [json!("any"), json!(""), json!({ "Version": "any" })] {
        let response = env.create(&json!({ "*": any, "CITEXT": "any" })).succeeded();
        assert_eq!(response.data("Changes"), "none");
        assert_eq!(response.data("hstore"), "1.4");
        assert_eq!(response.data("pg_trgm"), "1.3");
        assert_eq!(response.data("plpgsql"), "1.0");
        assert_eq!(response.data("citext"), env.default_version("citext"));
    }
}

#[test]
fn an_entry_wins_in_whatever_case() {
    let env = lagging();
    let response =
        env.create(&json!({ "*": "latest", "HSTORE": "1.6", "Pg_Trgm": "any" })).succeeded();
    assert_eq!(response.data("Changes"), "updated hstore 1.4 to 1.6");
    assert_eq!(response.data("pg_trgm"), "1.3");
    let response = env.update(&response, &json!({ "*": "latest", "HStore": "absent" })).succeeded();
    let trgm = env.default_version("pg_trgm");
    assert_eq!(
        response.data("Changes"),
        format!("updated pg_trgm 1.3 to {trgm}; dropped hstore 1.6")
    );
    assert_eq!(response.data("hstore"), "absent");
}

#[test]
fn what_cannot_be_updated_is_kept_and_said() {
    let env = lagging();
    env.database.query(
        "CREATE EXTENSION cube; CREATE EXTENSION timescaledb VERSION '2.14.0';
         CREATE EXTENSION unsaid VERSION '0.9';
         UPDATE pg_extension SET extname = 'gone' WHERE extname = 'cube';
         UPDATE pg_extension SET extversion = '99' WHERE extname = 'hstore'",
    );
    let [cube, hstore, trgm] = ["cube", "hstore", "pg_trgm"].map(|name| env.default_version(name));
    let kept = format!(
        "kept gone {cube} (its files are gone); kept hstore 99 (no update path to {hstore}); \
         kept timescaledb 2.14.0 (update it to 2.15.0 by the first statement of a session, by hand); \
         kept unsaid 0.9 (it has no default version)"
    );
    let response = env.create(&json!({ "*": "latest" })).succeeded();
    assert_eq!(response.data("Changes"), format!("updated pg_trgm 1.3 to {trgm}; {kept}"));
    assert_eq!(response.data("gone"), cube);
    let response = env.update(&response, &json!({ "*": "latest" })).succeeded();
    assert_eq!(response.data("Changes"), kept);
    assert_eq!(response.data("Changed"), "false");
}

#[test]
fn beside_the_extensions_of_another_database() {
    let env = lagging();
    let reference = Database::create();
    reference.query("CREATE EXTENSION hstore VERSION '1.5'; CREATE EXTENSION cube VERSION '1.4'");
    let secret = reference.secret(&reference.server.user, &reference.server.password);
    env.secrets.put("staging/db", "AWSCURRENT", secret.to_string());
    let properties = json!({ "PluginsFrom": "staging/db", "PluginsMap": { "*": "latest" } });
    let response = env.create_with(&properties).succeeded();
    let trgm = env.default_version("pg_trgm");
    assert_eq!(
        response.data("Changes"),
        format!("created cube 1.4; updated hstore 1.4 to 1.5; updated pg_trgm 1.3 to {trgm}"),
        "its versions win"
    );
    let map = json!({ "*": "latest", "CUBE": "absent" });
    let properties = json!({ "PluginsFrom": "staging/db", "PluginsMap": map });
    let response = env.create_with(&properties).succeeded();
    assert_eq!(response.data("Changes"), "dropped cube 1.4");
}

#[test]
fn over_several_databases() {
    let (env, others) = with_others(2);
    lag(&env.database);
    others[0].query("CREATE EXTENSION hstore VERSION '1.4'; UPDATE pg_extension SET extversion = '99' WHERE extname = 'hstore'");
    let all = names(&env, &others);
    let response = create(&env, &json!(all), &json!({ "*": "latest" })).succeeded();
    let [hstore, trgm] = ["hstore", "pg_trgm"].map(|name| env.default_version(name));
    assert_eq!(
        response.data("Changes"),
        format!(
            "{0}: updated hstore 1.4 to {hstore}; {0}: updated pg_trgm 1.3 to {trgm}; \
             {1}: kept hstore 99 (no update path to {hstore})",
            all[0], all[1]
        )
    );
    assert_eq!(response.data("hstore"), "mixed");
    assert_eq!(response.data("pg_trgm"), trgm);
    assert_eq!(others[1].installed(), "", "nothing is created");
}

#[test]
fn what_an_extension_requires_and_what_goes_with_it() {
    let env = TestEnvironment::new();
    env.database.query(
        "CREATE EXTENSION clan VERSION '1.0'; CREATE EXTENSION clan_child VERSION '1.0';
         CREATE EXTENSION clan_cousin VERSION '0.9'; CREATE EXTENSION cube VERSION '1.2';
         CREATE EXTENSION earthdistance",
    );
    let cube = env.default_version("cube");
    let response = env.create(&json!({ "*": "latest", "clan": "1.0", "cube": "any" })).succeeded();
    assert_eq!(response.data("Changes"), "kept clan_child 1.0 (it goes with clan 1.0)");
    let response = env.create(&json!({ "*": "latest" })).succeeded();
    assert_eq!(
        response.data("Changes"),
        format!(
            "updated clan 1.0 to 1.1; updated clan_child 1.0 to 1.1; updated cube 1.2 to {cube}"
        )
    );
    assert_eq!(response.data("clan_cousin"), "0.9");
}

#[test]
fn nothing_is_claimed_by_it_and_nothing_dropped() {
    let env = lagging();
    let mut it = Resource::new(&env, "a", "Drop");
    it.create(&json!({ "*": "latest" })).succeeded();
    assert_eq!(claims(&env.database), "none");
    it.update(&json!({ "*": "latest", "cube": "" })).succeeded();
    assert_eq!(claims(&env.database), "a cube created");
    it.delete().succeeded();
    assert_eq!(
        env.database.installed(),
        env.with_default_versions("citext 1.6, hstore 1.8, pg_trgm 1.6")
    );
}

#[test]
fn what_leaves_the_map_is_dropped_all_the_same() {
    let env = TestEnvironment::new();
    let mut it = Resource::new(&env, "a", "Drop");
    it.create(&json!({ "hstore": "1.4", "citext": "" })).succeeded();
    let response = it.update(&json!({ "*": "latest", "citext": "" })).succeeded();
    assert_eq!(response.data("Changes"), "dropped hstore 1.4", "it was not updated before");
    assert!(!response.data.contains_key("hstore"), "{:#?}", response.data);
}

#[test]
fn what_goes_along_with_that_is_not_updated() {
    let env = TestEnvironment::new();
    let mut it = Resource::new(&env, "a", "DropCascade");
    it.create(&json!({ "hstore": "1.7", "cube": "1.4" })).succeeded();
    env.database.query(
        "CREATE EXTENSION pg_trgm VERSION '1.3'; CREATE FUNCTION public.f(hstore) RETURNS int
           LANGUAGE sql AS 'SELECT 1'; ALTER EXTENSION pg_trgm ADD FUNCTION public.f(hstore)",
    );
    let response = it.update(&json!({ "*": "latest", "cube": "1.4" })).succeeded();
    assert_eq!(
        response.data("Changes"),
        "dropped hstore 1.7; dropped along with that: extension pg_trgm"
    );
    assert!(!response.data.contains_key("pg_trgm"), "{:#?}", response.data);
}

#[test]
fn a_schema_and_other_versions_are_refused() {
    let env = lagging();
    let schema = json!({ "Version": "latest", "Schema": "extensions" });
    env.create(&json!({ "*": schema }))
        .failed(&["`PluginsMap.*` has a `Schema`: leave it out, extensions stay where they are"]);
    for version in [json!("1.0"), json!("1.*"), json!("*"), json!("absent"), json!(1), json!([])] {
        env.create(&json!({ "*": version })).failed(&[
            "`PluginsMap.*` must be `latest` (each to its default version) or `any` (each as it is)",
        ]);
    }
    assert_eq!(env.database.extensions()["hstore"], "1.4");
}

#[test]
fn a_role_without_rights() {
    let env = lagging();
    let role = env.database.role("role's", "");
    env.credentials(&role, "role's");
    env.create(&json!({ "*": "latest" })).failed(&[&format!(
        "`hstore` is installed and not owned by role `{role}`, which therefore cannot change or drop it: \
         use a secret of its owner; the same for `pg_trgm`"
    )]);
    let map = json!({ "*": "latest", "hstore": "any", "pg_trgm": "any" });
    let response = env.create(&map).succeeded();
    assert_eq!(response.data("Changes"), "none", "`plpgsql` and `citext` are up to date");
}

#[test]
fn all_or_nothing() {
    let env = lagging();
    env.database.query(
        "CREATE FUNCTION public.refuse() RETURNS event_trigger LANGUAGE plpgsql AS $body$
         BEGIN
           IF EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_trgm' AND extversion <> '1.3')
           THEN RAISE EXCEPTION 'not today'; END IF;
         END $body$;
         CREATE EVENT TRIGGER refuse ON ddl_command_end WHEN TAG IN ('ALTER EXTENSION')
           EXECUTE FUNCTION public.refuse()",
    );
    env.create(&json!({ "*": "latest" })).failed(&["not today", "ALTER EXTENSION \"pg_trgm\""]);
    assert_eq!(env.database.extensions()["hstore"], "1.4");
}

#[test]
fn a_dry_run() {
    let env = lagging();
    let properties = json!({ "PluginsMap": { "*": "latest" }, "DryRun": "true" });
    let response = env.deliver_once(&env.event("Create", &properties)).succeeded();
    assert_eq!(response.data("hstore"), env.default_version("hstore"));
    assert_eq!(env.database.extensions()["hstore"], "1.4");
}
