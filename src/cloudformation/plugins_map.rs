//! The entries of `PluginsMap` as CloudFormation sends them, and what goes for all of them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::cloudformation::properties::Reader;
use crate::did_you_mean::did_you_mean;
use crate::planner::removal::ownership::Whose;
use crate::request::{
    DowngradePolicy, MOST_PROBLEMS, Problem, RemovalPolicy, Wanted, WantedExtension, WantedVersion,
};
use crate::text::shown;

/// The names that properties list, of whatever form the rest is.
pub fn names(properties: &Map<String, Value>) -> BTreeSet<String> {
    let map = properties.get("PluginsMap").and_then(Value::as_object);
    map.into_iter().flat_map(Map::keys).cloned().collect()
}

impl Reader<'_> {
    /// What shall be there.
    pub fn wanted(&mut self) -> Wanted {
        let policies = [("Fail", DowngradePolicy::Fail), ("Keep", DowngradePolicy::Keep)];
        let downgrade = self.choice("DowngradePolicy", &policies).unwrap_or_default();
        let removal = self.removal();
        let mut extensions = BTreeMap::new();
        match self.properties.get("PluginsMap") {
            Some(Value::Object(map)) => {
                for (name, value) in map {
                    if self.problems.len() >= MOST_PROBLEMS {
                        break;
                    }
                    if let Some(extension) = self.extension(name, value) {
                        extensions.insert(name.clone(), extension);
                    }
                }
            }
            Some(Value::Null) | None if self.text("PluginsFrom").is_some() => {}
            Some(Value::Null) | None => self.problems.push(Problem::Missing(
                "PluginsMap",
                "give a map of extension names to versions; it may be empty, and with `PluginsFrom` \
                 absent",
            )),
            Some(_) => self.malformed("PluginsMap", "a map of extension names to versions"),
        }
        Wanted { extensions, downgrade, removal, whose: Whose::default(), earlier: None }
    }

    /// What becomes of what is not listed any more.
    pub fn removal(&mut self) -> RemovalPolicy {
        let policies = [
            ("Retain", RemovalPolicy::Retain),
            ("Drop", RemovalPolicy::Drop),
            ("DropCascade", RemovalPolicy::DropCascade),
        ];
        self.choice("RemovalPolicy", &policies).unwrap_or_default()
    }

    fn extension(&mut self, name: &str, value: &Value) -> Option<WantedExtension> {
        if name.is_empty() || name.contains('\0') {
            self.malformed("PluginsMap", "a map whose keys are names of extensions");
            return None;
        }
        let Value::Object(map) = value else {
            return Some(WantedExtension { version: self.version(name, value)?, schema: None });
        };
        let unknown = map.keys().filter(|key| !["Version", "Schema"].contains(&key.as_str()));
        for key in unknown.take(MOST_PROBLEMS) {
            self.problems.push(Problem::UnknownKey {
                extension: shown(name).into(),
                key: shown(key).into(),
                suggestion: did_you_mean(key, ["Version", "Schema"]),
            });
        }
        let version = self.version(name, map.get("Version").unwrap_or(&Value::Null));
        let schema = map.get("Schema").and_then(|schema| self.schema(name, schema));
        Some(WantedExtension { version: version?, schema })
    }

    fn version(&mut self, name: &str, value: &Value) -> Option<WantedVersion> {
        let text = match value {
            Value::Null => return Some(WantedVersion::Any),
            Value::String(text) => text.as_str(),
            Value::Number(_) => {
                self.problems.push(Problem::NumericVersion(shown(name).into()));
                return None;
            }
            _ => {
                self.malformed(
                    &format!("PluginsMap.{}", shown(name)),
                    "a version in quotes, or a map of `Version` and `Schema`",
                );
                return None;
            }
        };
        match text {
            "" | "any" => Some(WantedVersion::Any),
            "latest" => Some(WantedVersion::Latest),
            "*" => {
                self.problems.push(Problem::BareStar(shown(name).into()));
                None
            }
            _ => match text.strip_suffix('*').unwrap_or(text) {
                start if start.contains('*') => {
                    self.problems
                        .push(Problem::MisplacedStar(shown(name).into(), shown(text).into()));
                    None
                }
                start if start.len() < text.len() => {
                    Some(WantedVersion::StartsWith(start.to_owned()))
                }
                exact => Some(WantedVersion::Exact(exact.to_owned())),
            },
        }
    }

    fn schema(&mut self, extension: &str, value: &Value) -> Option<String> {
        let schema = match value {
            Value::Null => return None,
            Value::String(schema) if schema.is_empty() => return None,
            Value::String(schema) if !schema.contains('\0') => schema,
            _ => {
                self.malformed(
                    &format!("PluginsMap.{}.Schema", shown(extension)),
                    "the name of a schema",
                );
                return None;
            }
        };
        if schema.len() > 63 {
            self.problems.push(Problem::LongSchema(shown(extension).into(), schema.len()));
            return None;
        }
        if schema.starts_with("pg_") && schema != "pg_catalog" {
            self.problems
                .push(Problem::ReservedSchema(shown(extension).into(), shown(schema).into()));
            return None;
        }
        Some(schema.clone())
    }
}
