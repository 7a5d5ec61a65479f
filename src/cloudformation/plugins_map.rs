//! `PluginsMap`: the entries as CloudFormation sends them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::cloudformation::reader::Reader;
use crate::did_you_mean::did_you_mean;
use crate::planner::desired::{DesiredExtension, DesiredVersion, Unnamed};
use crate::problem::MAX_PROBLEMS;
use crate::text::shown;

/// The longest name that PostgreSQL does not cut, in bytes.
const MAX_NAME: usize = 63;

/// The names that properties list, of whatever form the rest is: what is wanted `absent`, and `*`, lists
/// nothing.
pub fn names(properties: &Map<String, Value>) -> BTreeSet<String> {
    let map = properties.get("PluginsMap").and_then(Value::as_object);
    let lists = |(name, value): &(&String, &Value)| {
        let version = value.get("Version").unwrap_or(value);
        *name != "*" && version != "absent"
    };
    map.into_iter().flatten().filter(lists).map(|(name, _)| name.clone()).collect()
}

/// The entries of the map, and its key `*`; with `PluginsFrom` the map may be absent.
pub(super) fn read(
    reader: &mut Reader,
    is_required: bool,
) -> (BTreeMap<String, DesiredExtension>, Option<Unnamed>) {
    let (mut extensions, mut unnamed) = (BTreeMap::new(), None);
    match reader.properties.get("PluginsMap") {
        Some(Value::Object(map)) => {
            for (name, value) in map {
                if reader.problems.len() >= MAX_PROBLEMS {
                    break;
                }
                if name == "*" {
                    unnamed = self::unnamed(reader, value);
                } else if let Some(extension) = extension(reader, name, value) {
                    extensions.insert(name.clone(), extension);
                }
            }
        }
        Some(Value::Null) | None if !is_required || reader.has("PluginsFrom") => {}
        Some(Value::Null) | None => reader.problem(
            "`PluginsMap` is missing: give a map of extension names to versions; it may be empty, and \
             with `PluginsFrom` absent",
        ),
        Some(_) => reader.malformed("PluginsMap", "a map of extension names to versions"),
    }
    (extensions, unnamed)
}

/// The key `'*'`: its only versions are `latest` and `any`.
fn unnamed(reader: &mut Reader, value: &Value) -> Option<Unnamed> {
    let expected = "`latest` (each to its default version) or `any` (each as it is)";
    let version = match value {
        Value::Object(map) => {
            check_keys(reader, "*", map);
            if map.contains_key("Schema") {
                reader.problem(
                    "`PluginsMap.*` has a `Schema`: leave it out, extensions stay where they are",
                );
            }
            map.get("Version").unwrap_or(&Value::Null)
        }
        value => value,
    };
    let version = if version.is_null() { Some("") } else { version.as_str() };
    match version {
        Some("" | "any") => Some(Unnamed::Any),
        Some("latest") => Some(Unnamed::Latest),
        _ => {
            reader.malformed("PluginsMap.*", expected);
            None
        }
    }
}

fn extension(reader: &mut Reader, name: &str, value: &Value) -> Option<DesiredExtension> {
    if name.is_empty() || name.contains('\0') {
        reader.malformed("PluginsMap", "a map whose keys are names of extensions");
        return None;
    }
    let Value::Object(map) = value else {
        return Some(DesiredExtension { version: version(reader, name, value)?, schema: None });
    };
    check_keys(reader, name, map);
    let version = version(reader, name, map.get("Version").unwrap_or(&Value::Null));
    let schema = map.get("Schema").and_then(|value| schema(reader, name, value));
    if version == Some(DesiredVersion::Absent) && schema.is_some() {
        let name = shown(name);
        reader.problem(format!("`{name}` is wanted `absent` and has a `Schema`: leave that out"));
    }
    Some(DesiredExtension { version: version?, schema })
}

fn check_keys(reader: &mut Reader, name: &str, map: &Map<String, Value>) {
    let unknown = map.keys().filter(|key| !["Version", "Schema"].contains(&key.as_str()));
    for key in unknown.take(MAX_PROBLEMS) {
        let suggestion = did_you_mean(key, ["Version", "Schema"]);
        let (name, key) = (shown(name), shown(key));
        reader.problem(format!("unknown key `{key}` in `PluginsMap.{name}`{suggestion}"));
    }
}

fn version(reader: &mut Reader, name: &str, value: &Value) -> Option<DesiredVersion> {
    let name = shown(name);
    let text = match value {
        Value::Null => return Some(DesiredVersion::Any),
        Value::String(text) => text.as_str(),
        Value::Number(_) => {
            reader.problem(format!(
                "the version of `{name}` is a number, which has lost its zeros (`1.10` became `1.1`): \
                 put it in quotes"
            ));
            return None;
        }
        _ => {
            let expected = "a version in quotes, or a map of `Version` and `Schema`";
            reader.malformed(&format!("PluginsMap.{name}"), expected);
            return None;
        }
    };
    match (text, text.strip_suffix('*')) {
        ("" | "any", _) => Some(DesiredVersion::Any),
        ("latest", _) => Some(DesiredVersion::Latest),
        ("absent", _) => Some(DesiredVersion::Absent),
        ("*", _) => {
            reader.problem(format!(
                "the version of `{name}` is `*`, which is ambiguous: use `any` (what is there, \
                 else the default) or `latest`"
            ));
            None
        }
        (_, start) if start.unwrap_or(text).contains('*') => {
            reader.problem(format!(
                "the version of `{name}` is `{}`: a `*` may stand at the end only, as in `3.4.*`",
                shown(text)
            ));
            None
        }
        (_, Some(start)) => Some(DesiredVersion::StartsWith(start.to_owned())),
        (exact, None) => Some(DesiredVersion::Exact(exact.to_owned())),
    }
}

fn schema(reader: &mut Reader, extension: &str, value: &Value) -> Option<String> {
    let extension = shown(extension);
    let schema = match value {
        Value::Null => return None,
        Value::String(schema) if schema.is_empty() => return None,
        Value::String(schema) if !schema.contains('\0') => schema,
        _ => {
            reader.malformed(&format!("PluginsMap.{extension}.Schema"), "the name of a schema");
            return None;
        }
    };
    if schema.len() > MAX_NAME {
        reader.problem(format!(
            "the schema of `{extension}` has a name of {} bytes: PostgreSQL allows {MAX_NAME}, please \
             shorten it",
            schema.len()
        ));
        return None;
    }
    if schema.starts_with("pg_") && schema != "pg_catalog" {
        reader.problem(format!(
            "the schema of `{extension}` is `{}`: PostgreSQL keeps names that start with `pg_` for \
             itself",
            shown(schema)
        ));
        return None;
    }
    Some(schema.clone())
}
