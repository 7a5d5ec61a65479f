//! One statement of a plan: displays as its SQL, and says in words what it changes.

use std::fmt::{self, Display, Formatter};

use crate::sql::{Identifier, Literal};

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
    },
    /// The extension is in another schema.
    Move {
        /// Its name.
        name: String,
        /// The schema wanted.
        to: String,
    },
}

/// An exact version that was asked for and that `DowngradePolicy: Keep` lets be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The extension.
    pub name: String,
    /// What is installed.
    pub installed: String,
    /// What was asked for.
    pub wanted: String,
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
        }
    }
}

impl Step {
    /// The change in words, for `Changes`; `None` where nobody asked for it by name.
    pub fn change(&self) -> Option<String> {
        match self {
            Self::CreateSchema { .. } => None,
            Self::Create { name, version, required_by: None, .. } => {
                Some(format!("created {name} {version}"))
            }
            Self::Create { name, version, required_by: Some(by), .. } => {
                Some(format!("created {name} {version} (required by {by})"))
            }
            Self::Update { name, from, to } => Some(format!("updated {name} {from} to {to}")),
            Self::Move { name, to } => Some(format!("moved {name} to {to}")),
        }
    }

    /// The line of the log that announces it.
    pub fn announcement(&self) -> String {
        match self {
            Self::CreateSchema { schema } => format!("Creating schema {schema} ..."),
            Self::Create { name, version, .. } => {
                format!("Installing plugin {name} version {version} ...")
            }
            Self::Update { name, from, to } => {
                format!("Updating plugin {name} from version {from} to {to} ...")
            }
            Self::Move { name, to } => format!("Moving plugin {name} to schema {to} ..."),
        }
    }
}

impl Display for Kept {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let Self { name, installed, wanted } = self;
        write!(out, "kept {name} {installed} (no update path to {wanted})")
    }
}
