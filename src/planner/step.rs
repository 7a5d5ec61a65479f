//! One statement of a plan: displays as its SQL, and says in words what it changes.

use std::fmt::{self, Display, Formatter};

use crate::planner::quote::{Identifier, Literal};
use crate::planner::removal::ownership::Entry;

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
        /// The extension whose update takes it along, where the map does not ask for it.
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
    /// Who lists what is noted.
    Note(Entry),
}

/// What is let be, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// An exact version was asked for, and `DowngradePolicy: Keep` lets the other be.
    NoPath {
        /// The extension.
        name: String,
        /// What is installed.
        installed: String,
        /// What was asked for.
        wanted: String,
    },
    /// A database was not entered.
    PassedOver {
        /// Why, in words.
        why: &'static str,
    },
    /// Whatever the resource created: its claims are not known.
    Unknown {
        /// Why not.
        why: String,
    },
    /// It was there before the resource, which therefore will not drop it.
    Adopted {
        /// The extension.
        name: String,
        /// What is installed.
        version: String,
    },
    /// A warning: extension scripts may run somebody else's functions by mistake.
    Shadowed {
        /// The first few of them, with their owners.
        functions: String,
    },
}

impl Display for Step {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::CreateSchema { schema } => write!(out, "CREATE SCHEMA {}", Identifier(schema)),
            Self::Create { name, version, schema, .. } => {
                write!(out, "CREATE EXTENSION {}", Identifier(name))?;
                if let Some(schema) = schema {
                    write!(out, " SCHEMA {}", Identifier(schema))?;
                }
                write!(out, " VERSION {}", Literal(version))
            }
            Self::Update { name, to, .. } => {
                write!(out, "ALTER EXTENSION {} UPDATE TO {}", Identifier(name), Literal(to))
            }
            Self::Move { name, to } => {
                write!(out, "ALTER EXTENSION {} SET SCHEMA {}", Identifier(name), Identifier(to))
            }
            Self::Drop { extensions, cascade, .. } => {
                let names: Vec<_> =
                    extensions.iter().map(|(name, _)| Identifier(name).to_string()).collect();
                let behaviour = if *cascade { "CASCADE" } else { "RESTRICT" };
                write!(out, "DROP EXTENSION {} {behaviour}", names.join(", "))
            }
            Self::Note(entry) => entry.fmt(out),
        }
    }
}

impl Step {
    /// The change in words, for `Changes`; `None` where it is only our own note.
    pub fn change(&self) -> Option<String> {
        match self {
            Self::Note(_) => None,
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

    /// How many changes it is: each extension counts, our own notes do not.
    pub fn changes(&self) -> usize {
        match self {
            Self::Note(_) => 0,
            Self::Drop { extensions, .. } => extensions.len(),
            _ => 1,
        }
    }

    /// The line of the log that announces it.
    pub fn announcement(&self) -> String {
        match self {
            Self::CreateSchema { schema } => format!("Creating schema {schema} ..."),
            Self::Create { name, version, .. } => {
                format!("Installing plugin {name} version {version} ...")
            }
            Self::Update { name, from, to, .. } => {
                format!("Updating plugin {name} from version {from} to {to} ...")
            }
            Self::Move { name, to } => format!("Moving plugin {name} to schema {to} ..."),
            Self::Drop { extensions, along, .. } => {
                let names: Vec<_> = extensions
                    .iter()
                    .map(|(name, version)| format!("{name} version {version}"))
                    .collect();
                let along = if along.is_empty() {
                    String::new()
                } else {
                    format!(", and along with that: {}", along.join(", "))
                };
                format!("Dropping plugin {}{along} ...", names.join(", plugin "))
            }
            Self::Note(_) => "Noting who lists which extension ...".to_owned(),
        }
    }

    /// Whether it runs a script of an extension.
    pub fn runs_script(&self) -> bool {
        matches!(self, Self::Create { .. } | Self::Update { .. })
    }

    /// Whether it changes nothing but our own notes.
    pub fn is_note(&self) -> bool {
        matches!(self, Self::Note(_))
    }
}

impl Display for Kept {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPath { name, installed, wanted } => {
                write!(out, "kept {name} {installed} (no update path to {wanted})")
            }
            Self::PassedOver { why } => write!(out, "passed over ({why})"),
            Self::Unknown { why } => write!(out, "left whatever this resource created: {why}"),
            Self::Adopted { name, version } => {
                write!(out, "left {name} {version} unclaimed (it was there before)")
            }
            Self::Shadowed { functions } => write!(
                out,
                "warning: extension scripts may take functions for those of pg_catalog: {functions}"
            ),
        }
    }
}
