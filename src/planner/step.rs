//! One statement of a plan: displays as its SQL, and says in words what it changes.

use serde::Serialize;

use crate::planner::removal::ownership::ClaimChange;

/// What one statement does, for a program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Statement {
    /// The SQL.
    pub statement: String,
    /// `create`, `update`, `move`, `drop`; `schema` for a new schema, `claims` for the claims.
    pub action: &'static str,
    /// The extension; several with commas between them, where they are dropped together.
    pub extension: Option<String>,
    /// The version before, in the same order.
    pub from: Option<String>,
    /// The version after, or the schema.
    pub to: Option<String>,
}

/// One statement. Displays as SQL; [`Step::change`] says it in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A schema that an extension shall go into is missing.
    CreateSchema {
        /// Its name.
        schema: String,
    },
    /// The extension is missing.
    Create {
        /// Its name.
        name: String,
        /// The version to create.
        version: String,
        /// Where to; `None` where the extension prescribes it.
        schema: Option<String>,
        /// The prescribed schema, where it is missing: the server creates it.
        new_schema: Option<String>,
        /// The entry of the map that requires it, where the map does not list it.
        required_by: Option<String>,
    },
    /// The extension has another version.
    Update {
        /// Its name.
        name: String,
        /// The version there is.
        from: String,
        /// The version wanted.
        to: String,
        /// The extension whose update includes this one, where the map does not ask for it.
        with: Option<String>,
    },
    /// The extension is in another schema.
    Move {
        /// Its name.
        name: String,
        /// The schema wanted.
        to: String,
    },
    /// Extensions that the resource created and does not list any more: all of them at once.
    Drop {
        /// Names and versions.
        extensions: Vec<(String, String)>,
        /// What depends on them goes along.
        cascade: bool,
        /// What that is, in words.
        along: Vec<String>,
    },
    /// A change of the claims.
    Claims(ClaimChange),
}

impl Step {
    /// The change in words, for `Changes`; `None` where it changes claims alone.
    pub fn change(&self) -> Option<String> {
        match self {
            Self::Claims(_) => None,
            Self::CreateSchema { schema } => Some(format!("created schema {schema}")),
            Self::Create { name, version, new_schema, required_by, .. } => {
                let schema = new_schema.iter().map(|schema| format!("created schema {schema}; "));
                let by = required_by.iter().map(|by| format!(" (required by {by})"));
                Some(format!(
                    "{}created {name} {version}{}",
                    schema.collect::<String>(),
                    by.collect::<String>()
                ))
            }
            Self::Update { name, from, to, with: None } => {
                Some(format!("updated {name} {from} to {to}"))
            }
            Self::Update { name, from, to, with: Some(with) } => {
                Some(format!("updated {name} {from} to {to} (with {with})"))
            }
            Self::Move { name, to } => Some(format!("moved {name} to {to}")),
            Self::Drop { extensions, along, .. } => {
                let mut parts: Vec<_> = extensions
                    .iter()
                    .map(|(name, version)| format!("dropped {name} {version}"))
                    .collect();
                if !along.is_empty() {
                    parts.push(format!("dropped along with that: {}", along.join(", ")));
                }
                Some(parts.join("; "))
            }
        }
    }

    /// What it does, for a program.
    pub fn described(&self) -> Statement {
        let (action, extension, from, to) = match self {
            Self::CreateSchema { schema } => ("schema", None, None, Some(schema)),
            Self::Create { name, version, .. } => ("create", Some(name), None, Some(version)),
            Self::Update { name, from, to, .. } => ("update", Some(name), Some(from), Some(to)),
            Self::Move { name, to } => ("move", Some(name), None, Some(to)),
            Self::Drop { .. } => ("drop", None, None, None),
            Self::Claims(_) => ("claims", None, None, None),
        };
        let [mut extension, mut from, to] = [extension, from, to].map(Option::<&String>::cloned);
        if let Self::Drop { extensions, .. } = self {
            let (names, versions): (Vec<&str>, Vec<&str>) =
                extensions.iter().map(|(name, version)| (name.as_str(), version.as_str())).unzip();
            (extension, from) = (Some(names.join(", ")), Some(versions.join(", ")));
        }
        Statement { statement: self.to_string(), action, extension, from, to }
    }

    /// How many changes it is: each extension counts, claims do not.
    pub fn changes(&self) -> usize {
        match self {
            Self::Claims(_) => 0,
            Self::Drop { extensions, .. } => extensions.len(),
            _ => 1,
        }
    }

    /// The line of the log that announces it.
    pub fn announcement(&self) -> String {
        match self {
            Self::Create { name, version, .. } => {
                format!("Installing plugin {name} version {version} ...")
            }
            Self::Claims(_) => "Writing the claims ...".to_owned(),
            Self::Drop { along, .. } if !along.is_empty() => {
                format!("Running {self}, which takes along: {} ...", along.join(", "))
            }
            other => format!("Running {other} ..."),
        }
    }

    /// Whether it changes nothing but the claims.
    pub fn is_of_claims(&self) -> bool {
        matches!(self, Self::Claims(_))
    }
}
