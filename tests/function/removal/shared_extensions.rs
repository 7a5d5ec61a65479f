//! Several resources, and several people, on one database.

use crate::support::resource::{Resource, claims};
use crate::support::test_environment::TestEnvironment;
use serde_json::json;

#[test]
fn a_listing_outlives_what_was_dropped_by_hand() {
    let env = TestEnvironment::new();
    let mut first = Resource::new(&env, "a", "DropCascade");
    let mut second = Resource::new(&env, "b", "Drop");
    first.create(&json!({ "hstore": "1.7" })).succeeded();
    env.database.query("DROP EXTENSION hstore");
    second.create(&json!({ "hstore": "latest" })).succeeded();
    assert_eq!(claims(&env.database), "a hstore, b hstore created", "another one now");
    second.delete().succeeded();
    assert_eq!(
        env.database.installed(),
        env.with_default_versions("hstore 1.8"),
        "the first one lists it still"
    );
    assert_eq!(claims(&env.database), "a hstore created");
    first.delete().succeeded();
    assert_eq!(env.database.installed(), "");
    assert_eq!(claims(&env.database), "none");
}

#[test]
fn the_resource_that_has_listed_it_for_longest_becomes_the_owner() {
    let env = TestEnvironment::new();
    let [mut first, mut second, mut third] =
        ["a", "c", "b"].map(|stack| Resource::new(&env, stack, "Drop"));
    for resource in [&mut first, &mut second, &mut third] {
        resource.create(&json!({ "hstore": "any" })).succeeded();
    }
    first.delete().succeeded();
    assert_eq!(claims(&env.database), "b hstore, c hstore created");
    third.delete().succeeded();
    second.delete().succeeded();
    assert_eq!(env.database.installed(), "");
}

#[test]
fn what_nobody_created_stays_when_the_last_one_leaves() {
    let env = TestEnvironment::new();
    env.database.query("CREATE EXTENSION hstore");
    let [mut first, mut second] = ["a", "b"].map(|stack| Resource::new(&env, stack, "Drop"));
    for resource in [&mut first, &mut second] {
        resource.create(&json!({ "hstore": "any", "plpgsql": "any" })).succeeded();
    }
    first.delete().succeeded();
    second.delete().succeeded();
    assert_eq!(env.database.installed(), env.with_default_versions("hstore 1.8"));
    assert_eq!(claims(&env.database), "none");
}

#[test]
fn a_requirement_that_another_one_lists_stays() {
    let env = TestEnvironment::new();
    let [mut first, mut second] = ["a", "b"].map(|stack| Resource::new(&env, stack, "Drop"));
    first.create(&json!({ "earthdistance": "" })).succeeded();
    second.create(&json!({ "cube": "any" })).succeeded();
    first.delete().succeeded();
    assert_eq!(env.database.installed(), env.with_default_versions("cube 1.5"));
    second.delete().succeeded();
    assert_eq!(env.database.installed(), "");
}

#[test]
fn an_extension_that_depends_on_it() {
    for policy in ["Drop", "DropCascade"] {
        let env = TestEnvironment::new();
        let mut first = Resource::new(&env, "a", policy);
        let mut second = Resource::new(&env, "b", "Drop");
        first.create(&json!({ "cube": "" })).succeeded();
        second.create(&json!({ "earthdistance": "" })).succeeded();
        first.delete().succeeded();
        assert_eq!(
            env.database.installed(),
            env.with_default_versions("cube 1.5, earthdistance 1.1"),
            "it is required"
        );
        assert_eq!(claims(&env.database), "b cube created, b earthdistance created");
    }
    let env = TestEnvironment::new();
    let mut it = Resource::new(&env, "a", "Drop");
    it.create(&json!({ "cube": "" })).succeeded();
    env.database.query("CREATE EXTENSION earthdistance");
    it.delete().failed(&["cube", "extension earthdistance", "DropCascade"]);
    it.policy = "DropCascade";
    let response = it.update(&json!({})).succeeded();
    assert_eq!(
        response.data("Changes"),
        env.with_default_versions(
            "dropped cube 1.5; dropped along with that: extension earthdistance"
        )
    );
}

#[test]
fn a_cascade_takes_no_extension_that_was_there_before() {
    let env = TestEnvironment::new();
    let mut it = Resource::new(&env, "a", "DropCascade");
    it.create(&json!({ "cube": "" })).succeeded();
    env.database.query("CREATE EXTENSION earthdistance");
    it.update(&json!({ "cube": "", "earthdistance": "any" })).succeeded();
    it.delete().failed(&["cube", "`earthdistance` depends on it", "was there before"]);
    assert_eq!(env.database.installed(), env.with_default_versions("cube 1.5, earthdistance 1.1"));
}

/// A member of `citext` that uses `hstore`, which no control file says.
const LINK: &str = "CREATE FUNCTION public.link(hstore) RETURNS int LANGUAGE sql AS 'SELECT 1';
                    ALTER EXTENSION citext ADD FUNCTION public.link(hstore)";

#[test]
fn a_cascade_takes_no_extension_that_is_listed() {
    let env = TestEnvironment::new();
    let mut it = Resource::new(&env, "a", "DropCascade");
    let mut other = Resource::new(&env, "b", "Drop");
    it.create(&json!({ "hstore": "", "citext": "" })).succeeded();
    env.database.query(LINK);
    it.update(&json!({ "citext": "" })).failed(&["hstore", "`citext`", "`PluginsMap` lists"]);
    other.create(&json!({ "citext": "any" })).succeeded();
    it.delete().failed(&["hstore", "`citext`", "lists too", &other.stack]);
    assert_eq!(env.database.installed(), env.with_default_versions("citext 1.6, hstore 1.8"));
    other.delete().succeeded();
    it.delete().succeeded();
    assert_eq!(env.database.installed(), "");
}

#[test]
fn a_drop_takes_nothing_along_that_the_same_request_creates() {
    // `leech` uses `hstore` without declaring it, so it is not known before.
    for policy in ["DropCascade", "Drop"] {
        let env = TestEnvironment::new();
        let mut it = Resource::new(&env, "a", policy);
        it.create(&json!({ "hstore": "1.7" })).succeeded();
        it.update(&json!({ "leech": "" })).failed(&["42704", "nothing was changed"]);
        assert_eq!(env.database.installed(), "hstore 1.7");
        it.update(&json!({ "leech": "", "hstore": "1.7" })).succeeded();
        it.delete().succeeded();
        assert_eq!(env.database.installed(), "");
    }
}

#[test]
fn a_creator_that_retains_gives_it_up() {
    let env = TestEnvironment::new();
    let [mut first, mut second] = ["a", "b"].map(|stack| Resource::new(&env, stack, "Drop"));
    first.create(&json!({ "hstore": "1.7" })).succeeded();
    second.create(&json!({ "hstore": "any" })).succeeded();
    first.policy = "Retain";
    first.update(&json!({ "hstore": "1.7" })).succeeded();
    assert_eq!(claims(&env.database), "b hstore", "it wants it to stay: nobody owns it");
    second.delete().succeeded();
    assert_eq!(env.database.installed(), "hstore 1.7");
    assert_eq!(claims(&env.database), "none");
}
