//! Bad input, in short: what the fuzzer checks at length, on trees of random JSON.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

#[path = "../../fuzz/checks.rs"]
mod checks;

/// Words that mean something to the code, or to SQL.
const WORDS: [&str; 40] = [
    "",
    "*",
    "any",
    "latest",
    "1.4",
    "1.8",
    "1.*",
    "0",
    "v4",
    "true",
    "FALSE",
    "5432",
    "disable",
    "Fail",
    "Keep",
    "Retain",
    "Drop",
    "IAM",
    "hstore",
    "HSTORE",
    "plpgsql",
    "public",
    "pg_catalog",
    "pg_x",
    "Version",
    "Schema",
    "PluginsMap",
    "DBSecret",
    "\"",
    "'",
    "\\",
    "\0",
    "--",
    "/*",
    ";",
    "$$",
    "E'",
    "x\"; DROP TABLE t; --",
    "1.4'; DROP TABLE t; --",
    "\u{fe0f}ä💥",
];

/// Every property, and some that are none.
const PROPERTIES: [&str; 18] = [
    "ServiceToken",
    "ServiceTimeout",
    "DBSecret",
    "PluginsMap",
    "PluginsFrom",
    "Databases",
    "Host",
    "Port",
    "Username",
    "Authentication",
    "SslMode",
    "SslRootCert",
    "RemovalPolicy",
    "DowngradePolicy",
    "DryRun",
    "Trigger",
    "pluginsMap",
    "",
];

/// Every member of an event.
const MEMBERS: [&str; 9] = [
    "RequestType",
    "ResponseURL",
    "StackId",
    "RequestId",
    "LogicalResourceId",
    "ResourceType",
    "PhysicalResourceId",
    "ResourceProperties",
    "OldResourceProperties",
];

fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => proptest::sample::select(&WORDS[..]).prop_map(ToOwned::to_owned),
        2 => any::<String>(),
        1 => "[\"'\\\\;$ a-z0-9.*]{0,12}",
        1 => "\\PC{60,70}",
    ]
}

/// Any tree of JSON.
fn json_tree() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        6 => word().prop_map(Value::from),
        1 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => any::<f64>().prop_map(|number| json!(number)),
    ];
    leaf.prop_recursive(3, 24, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            btree_map(word(), inner, 0..6)
                .prop_map(|map| Value::from(map.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// An object with these keys, some of them, and any values.
fn object(keys: &'static [&'static str]) -> impl Strategy<Value = Value> {
    btree_map(proptest::sample::select(keys), json_tree(), 0..10).prop_map(|map| {
        map.into_iter().map(|(key, value)| (key.to_owned(), value)).collect::<Map<_, _>>().into()
    })
}

/// A map as the template has it: mostly names and versions.
fn plugins_map() -> impl Strategy<Value = Value> {
    let entry = prop_oneof![
        4 => word().prop_map(Value::from),
        2 => (word(), word()).prop_map(|(version, schema)| json!({ "Version": version, "Schema": schema })),
    ];
    btree_map(word(), entry, 0..5).prop_map(|map| map.into_iter().collect::<Map<_, _>>().into())
}

fn offered() -> impl Strategy<Value = Value> {
    btree_map(word(), vec(word(), 0..4), 0..6).prop_map(|map| {
        map.into_iter().map(|(name, it)| (name, json!(it))).collect::<Map<_, _>>().into()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn any_json_as_properties(value in prop_oneof![json_tree(), object(&PROPERTIES)]) {
        checks::properties(&value);
    }

    #[test]
    fn properties_that_are_almost_right(map in plugins_map(), mut more in object(&PROPERTIES)) {
        more["DBSecret"] = json!("s");
        more["PluginsMap"] = map;
        checks::properties(&more);
    }

    #[test]
    fn any_json_as_an_event(value in prop_oneof![1 => json_tree(), 4 => object(&MEMBERS)]) {
        checks::event(&value);
    }

    #[test]
    fn only_what_the_server_lists_gets_into_a_statement(
        map in plugins_map(),
        offered in offered(),
        installed in btree_map(word(), word(), 0..4),
        keep in any::<bool>(),
    ) {
        checks::plan(&json!({
            "PluginsMap": map,
            "offered": offered,
            "installed": installed,
            "DowngradePolicy": if keep { "Keep" } else { "Fail" },
        }));
    }

    #[test]
    fn nobodys_words_get_into_a_note_without_quotes(
        parts in btree_map(word(), (any::<[bool; 3]>(), word()), 1..6),
        policy in prop::sample::select(vec!["Retain", "Drop", "DropCascade"]),
        stack in word(),
    ) {
        let own = parts.values().next().map_or(&stack, |(_, other)| other);
        let stack = if stack.len() % 2 == 0 { own } else { &stack };
        let having = |which: usize, value: &dyn Fn(&str) -> Value| -> Map<String, Value> {
            let chosen = parts.iter().filter(|(_, (is, _))| is[which]);
            chosen.map(|(name, (_, other))| (name.clone(), value(other))).collect()
        };
        let offered: Map<String, Value> =
            parts.keys().map(|name| (name.clone(), json!(["1.0"]))).collect();
        checks::plan(&json!({
            "PluginsMap": having(0, &|_| json!("any")),
            "offered": offered,
            "installed": having(1, &|_| json!("1.0")),
            "claims": having(2, &|other| json!(other)),
            "RemovalPolicy": policy,
            "stack": stack,
        }));
    }

    #[test]
    fn what_is_quoted_reads_back(name in word(), text in word()) {
        checks::sql(&name, &text);
        checks::suggestion(&name);
    }
}
