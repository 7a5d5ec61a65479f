//! The statements that change anything, as SQL: the only place where SQL is quoted.

use std::fmt::{self, Display, Formatter};

use crate::planner::removal::ownership::{ClaimChange, Claimant, SCHEMA};
use crate::planner::step::Step;

/// A quoted identifier: `"postgis"`, with `"` doubled.
#[derive(Debug, Clone, Copy)]
pub struct Identifier<'a>(pub &'a str);

impl Display for Identifier<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        write!(out, "\"{}\"", self.0.replace('"', "\"\""))
    }
}

/// A quoted string: `'3.4.3'`, with `'` doubled; with a `\` in it `E'...'`, with that doubled too. It
/// means the same whatever `standard_conforming_strings` says, which a database's owner may set.
#[derive(Debug, Clone, Copy)]
pub struct Literal<'a>(pub &'a str);

impl Display for Literal<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let escape = if self.0.contains('\\') { "E" } else { "" };
        write!(out, "{escape}'{}'", self.0.replace('\\', r"\\").replace('\'', "''"))
    }
}

/// Words with commas between them.
fn joined(words: impl Iterator<Item = String>) -> String {
    words.collect::<Vec<_>>().join(", ")
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
                let names = joined(extensions.iter().map(|(name, _)| Identifier(name).to_string()));
                let behaviour = if *cascade { "CASCADE" } else { "RESTRICT" };
                write!(out, "DROP EXTENSION {names} {behaviour}")
            }
            Self::Claims(change) => change.fmt(out),
        }
    }
}

/// The columns of the table of claims. `home` is the oid of the table's own schema when the row was
/// written: where it is another one now, the row came with a dump, and `extension_oid` means nothing.
/// `claim_table.sql` compares a table with these.
const COLUMNS: &str = "stack text NOT NULL, logical_id text NOT NULL, physical_id text NOT NULL, \
     extension text NOT NULL, created boolean NOT NULL, extension_oid oid NOT NULL, \
     home oid NOT NULL, database text NOT NULL, claimed_at timestamptz NOT NULL DEFAULT now(), \
     PRIMARY KEY (stack, logical_id, physical_id, extension)";

impl Display for ClaimChange {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let is = |claimant: &Claimant| {
            format!(
                "stack = {} AND logical_id = {} AND physical_id = {}",
                Literal(&claimant.stack),
                Literal(&claimant.logical_id),
                Literal(&claimant.physical_id)
            )
        };
        match self {
            Self::CreateTable { schema } => {
                if *schema {
                    write!(out, "CREATE SCHEMA {SCHEMA} CREATE TABLE claim ({COLUMNS})")
                } else {
                    write!(out, "CREATE TABLE {SCHEMA}.claim ({COLUMNS})")
                }
            }
            Self::RenewOids => write!(
                out,
                "UPDATE {SCHEMA}.claim AS c SET home = n.oid, extension_oid = coalesce(\
                 (SELECT e.oid FROM pg_extension AS e WHERE e.extname = c.extension), 0) \
                 FROM pg_namespace AS n WHERE n.nspname = '{SCHEMA}' AND c.home <> n.oid \
                 AND c.database = current_database()"
            ),
            Self::RemoveOfOtherDatabases => {
                write!(out, "DELETE FROM {SCHEMA}.claim WHERE database <> current_database()")
            }
            Self::EndOwnership => write!(
                out,
                "UPDATE {SCHEMA}.claim AS c SET created = false WHERE c.created AND NOT EXISTS \
                 (SELECT FROM pg_extension AS e \
                 JOIN pg_namespace AS n ON n.nspname = '{SCHEMA}' WHERE e.extname = c.extension \
                 AND (e.oid = c.extension_oid OR c.home <> n.oid))"
            ),
            Self::Claim { claimant, extensions } => {
                let values = extensions.iter();
                let values =
                    joined(values.map(|(name, created)| format!("({}, {created})", Literal(name))));
                write!(
                    out,
                    "INSERT INTO {SCHEMA}.claim (stack, logical_id, physical_id, extension, \
                     created, extension_oid, home, database) \
                     SELECT {}, {}, {}, e.extname, v.created, e.oid, n.oid, current_database() \
                     FROM (VALUES {values}) AS v (name, created) \
                     JOIN pg_extension AS e ON e.extname = v.name \
                     JOIN pg_namespace AS n ON n.nspname = '{SCHEMA}' \
                     ON CONFLICT (stack, logical_id, physical_id, extension) DO UPDATE SET \
                     created = EXCLUDED.created, extension_oid = EXCLUDED.extension_oid, \
                     home = EXCLUDED.home, database = EXCLUDED.database",
                    Literal(&claimant.stack),
                    Literal(&claimant.logical_id),
                    Literal(&claimant.physical_id)
                )
            }
            Self::Release { claimant, extensions } => {
                let names = joined(extensions.iter().map(|name| Literal(name).to_string()));
                write!(
                    out,
                    "DELETE FROM {SCHEMA}.claim WHERE {} AND extension IN ({names})",
                    is(claimant)
                )
            }
            Self::TransferOwnership { claimant, extension } => write!(
                out,
                "UPDATE {SCHEMA}.claim SET created = true, extension_oid = e.oid, home = n.oid \
                 FROM pg_extension AS e, pg_namespace AS n WHERE n.nspname = '{SCHEMA}' \
                 AND e.extname = extension AND {} AND extension = {}",
                is(claimant),
                Literal(extension)
            ),
            Self::DropTable => write!(out, "DROP TABLE {SCHEMA}.claim"),
            Self::DropSchema => write!(out, "DROP SCHEMA {SCHEMA}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Reads a quoted word back as the server's lexer would, with or without
    /// `standard_conforming_strings`; `None` if it ends early.
    fn unquoted(text: &str, quote: char, conforming: bool) -> Option<String> {
        let (text, escapes) = match text.strip_prefix('E') {
            Some(rest) => (rest, true),
            None => (text, quote == '\'' && !conforming),
        };
        let inside = text.strip_prefix(quote)?.strip_suffix(quote)?;
        let mut word = String::new();
        let mut letters = inside.chars();
        while let Some(letter) = letters.next() {
            let letter = match letter {
                '\\' if escapes => letters.next()?,
                letter if letter == quote => letters.next().filter(|next| *next == quote)?,
                letter => letter,
            };
            word.push(letter);
        }
        Some(word)
    }

    proptest! {
        #[test]
        fn a_quoted_word_is_read_back_as_it_was(word in any::<String>()) {
            for conforming in [true, false] {
                let [identifier, literal] = [
                    unquoted(&Identifier(&word).to_string(), '"', conforming),
                    unquoted(&Literal(&word).to_string(), '\'', conforming),
                ];
                prop_assert_eq!(identifier.as_ref(), Some(&word));
                prop_assert_eq!(literal.as_ref(), Some(&word));
            }
        }
    }
}
