//! What others have put where extension scripts search.
//!
//! A script runs with the rights of the role, or of a superuser. Some read the configured
//! `search_path` and use it, as PostGIS's topology and geocoder do, and an operator whose operand types
//! fit better than those of `pg_catalog`'s is taken from any schema that is searched.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::problem::Problem;

/// The query returns no more characters of a setting: one that long was cut.
const MAX_SEARCH_PATH: usize = 65_536;

/// What is configured, and what roles that are not trusted own: neither superusers nor the role itself.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct Untrusted {
    /// The superusers, and the role where it is itself: everybody else is not trusted.
    #[serde(default)]
    pub trusted: Vec<String>,
    /// Every setting of `search_path` that a script may read.
    pub search_paths: Vec<SearchPath>,
    /// The schemas that those settings name.
    #[serde(default)]
    pub searched: Vec<String>,
    /// Operators on built-in types, named like `pg_catalog`'s, by schema.
    #[serde(default)]
    pub operators: BTreeMap<String, UntrustedObjects>,
    /// Functions with arguments of built-in types, in the same way.
    #[serde(default)]
    pub functions: BTreeMap<String, UntrustedObjects>,
    /// The schemas that are not trusted, or hold a table that is not, with the owner.
    #[serde(default)]
    pub schemas: BTreeMap<String, String>,
    /// The extensions that have an object that the role does not own, with its owner.
    #[serde(default)]
    pub members: BTreeMap<String, String>,
}

/// A setting of `search_path`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct SearchPath {
    /// Its value.
    pub path: String,
    /// What takes it back: `ALTER DATABASE app RESET search_path`. `None` where the server has it so.
    pub reset: Option<String>,
}

/// Objects of one schema.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct UntrustedObjects {
    /// How many there are.
    pub count: usize,
    /// The first few, with their owners: `` `public.lower(text)` of `mallory` ``.
    pub some: Vec<String>,
}

impl Untrusted {
    /// Why scripts that search these schemas are not run, and create objects in those that are
    /// `prescribed`, with the rights of this role or of a superuser.
    pub fn problems(
        &self,
        searched: &BTreeSet<&str>,
        prescribed: &BTreeSet<&str>,
        role: &str,
    ) -> Vec<Problem> {
        let paths = self.search_paths.iter().filter_map(|SearchPath { path, reset }| {
            Some(unsafe_search_path(path, fault(path)?, reset.as_deref()))
        });
        let operators = self.listed(&self.operators, searched).map(|operators| {
            Problem::new(format!(
                "no extension script is run: scripts may take these operators for those of \
                 `pg_catalog`, and run what belongs to neither a superuser nor role `{role}`: \
                 {operators}; DROP OPERATOR, or read their functions and give both to a superuser"
            ))
        });
        let schemas =
            self.schemas.iter().filter(|(schema, _)| prescribed.contains(schema.as_str()));
        let schemas = schemas.map(|(schema, owner)| {
            Problem::new(format!(
                "no extension script is run: the extension prescribes schema `{schema}`, which \
                 belongs to role `{owner}` or has tables of that role in it, and scripts use the \
                 tables that are there: drop it, or read its triggers and give it and its tables to a \
                 superuser"
            ))
        });
        paths.chain(operators).chain(schemas).collect()
    }

    /// A warning of what a script may run by mistake, and what users have for good reasons too.
    pub(super) fn warning(&self, searched: &BTreeSet<&str>) -> Option<String> {
        let functions = self.listed(&self.functions, searched)?;
        Some(format!(
            "warning: extension scripts may take functions for those of pg_catalog: {functions}"
        ))
    }

    /// The first few of the objects in the schemas that are searched, and how many more there are.
    fn listed(
        &self,
        objects: &BTreeMap<String, UntrustedObjects>,
        searched: &BTreeSet<&str>,
    ) -> Option<String> {
        const MAX_LISTED: usize = 5;
        let found = objects.iter().filter(|(schema, _)| {
            searched.contains(schema.as_str()) || self.searched.contains(schema)
        });
        let found: Vec<&UntrustedObjects> = found.map(|(_, objects)| objects).collect();
        let some = found.iter().flat_map(|objects| &objects.some).take(MAX_LISTED);
        let some: Vec<&str> = some.map(String::as_str).collect();
        let count: usize = found.iter().map(|objects| objects.count).sum();
        let more = match count.saturating_sub(some.len()) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        (count > 0).then(|| some.join(", ") + &more)
    }
}

fn unsafe_search_path(path: &str, fault: &str, reset: Option<&str>) -> Problem {
    let remedy = reset.map_or_else(
        || "set it in the server's configuration".to_owned(),
        |reset| format!("as its owner or as a superuser, run `{reset}`, or set it"),
    );
    Problem::new(format!(
        "no extension script is run: `search_path` is set to `{}`, which {fault}, and scripts that \
         read this setting would run what is in there; {remedy} to plain names, `pg_catalog` first or \
         not at all",
        excerpt(path)
    ))
}

/// What is wrong with a `search_path` for scripts that read it.
fn fault(path: &str) -> Option<&'static str> {
    let names = (path.len() < MAX_SEARCH_PATH).then(|| names(path)).flatten();
    match names {
        None => Some("holds more than names"),
        Some(names) if names.iter().position(|name| name == "pg_catalog") > Some(0) => {
            Some("has a schema before `pg_catalog`")
        }
        Some(_) => None,
    }
}

/// The names of a `search_path`, as the server reads them; `None` where there is anything else in it.
///
/// The server itself takes every character but a comma, a quote and white space for a part of a name:
/// where a script makes SQL of the setting, that is more than a name.
fn names(path: &str) -> Option<Vec<String>> {
    const WHITE_SPACE: [char; 5] = [' ', '\t', '\n', '\r', '\u{c}'];
    let mut names = Vec::new();
    let mut rest = path.trim_matches(WHITE_SPACE);
    if rest.is_empty() {
        return Some(names);
    }
    loop {
        let (name, after) = name(rest)?;
        names.push(name);
        let after = after.trim_start_matches(WHITE_SPACE);
        if after.is_empty() {
            return Some(names);
        }
        rest = after.strip_prefix(',')?.trim_start_matches(WHITE_SPACE);
    }
}

/// The name that a text begins with, and what comes after it.
fn name(text: &str) -> Option<(String, &str)> {
    if let Some(quoted) = text.strip_prefix('"') {
        let mut end = quoted.find('"')?;
        while quoted[end + 1..].starts_with('"') {
            end += 2 + quoted[end + 2..].find('"')?;
        }
        return Some((quoted[..end].replace("\"\"", "\""), &quoted[end + 1..]));
    }
    let begins = |letter: char| letter.is_ascii_alphabetic() || letter == '_' || !letter.is_ascii();
    let goes_on = |letter: char| begins(letter) || letter.is_ascii_digit() || letter == '$';
    let end = text.find(|letter| !goes_on(letter)).unwrap_or(text.len());
    let (name, after) = (text[..end].to_ascii_lowercase(), &text[end..]);
    (name.starts_with(begins) || name == "$user").then_some((name, after))
}

/// A setting as far as it is worth showing, without control characters.
fn excerpt(path: &str) -> String {
    const MAX_SHOWN: usize = 120;
    let letters = path.chars().map(|letter| if letter.is_control() { ' ' } else { letter });
    let mut shown: String = letters.take(MAX_SHOWN).collect();
    if path.chars().nth(MAX_SHOWN).is_some() {
        shown.push_str(" ...");
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_names() {
        for (path, expected) in [
            ("", &[] as &[&str]),
            (" \t\n", &[]),
            ("\"$user\", public", &["$user", "public"]),
            ("$user,public", &["$user", "public"]),
            ("app , PUBLIC", &["app", "public"]),
            ("_a$1\n,\r\u{c}ärger", &["_a$1", "ärger"]),
            ("\"a, b\"", &["a, b"]),
            ("\"a\"\"b\" , c", &["a\"b", "c"]),
            ("\"\"\"\"", &["\""]),
            ("\"\"", &[""]),
            ("\";DROP TABLE t\", c", &[";DROP TABLE t", "c"]),
            ("\"Pg_Catalog\"", &["Pg_Catalog"]),
        ] {
            let expected = expected.iter().map(ToString::to_string).collect();
            assert_eq!(names(path), Some(expected), "{path}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for path in [
            "public;alter/**/role/**/mallory/**/superuser;set/**/search_path=public",
            "a;b",
            "a b",
            "a,",
            ",a",
            "a,,b",
            "\"a",
            "\"a\"\"",
            "\"a\"b",
            "\"a\" \"b\"",
            "a\"b\"",
            "'a'",
            "1a",
            "$1",
            "$users",
            "$$a$$",
            "a--b",
            "a/**/",
            "a=b",
            "U&\"a\"",
            "a\u{b}",
            "a.b",
            "-",
        ] {
            assert_eq!(names(path), None, "{path}");
            assert_eq!(fault(path), Some("holds more than names"), "{path}");
        }
        assert!(fault(&"a".repeat(MAX_SEARCH_PATH)).is_some(), "it was cut");
    }

    #[test]
    fn nothing_comes_before_pg_catalog() {
        for path in ["pg_catalog", "PG_Catalog, public", "\"pg_catalog\", a", "pg_temp, a", "a", ""]
        {
            assert_eq!(fault(path), None, "{path}");
        }
        for path in [
            "evil, pg_catalog, public",
            "a,PG_CATALOG",
            "pg_temp, \"pg_catalog\"",
            "\"\",pg_catalog",
        ] {
            assert_eq!(fault(path), Some("has a schema before `pg_catalog`"), "{path}");
        }
    }

    #[test]
    fn a_long_or_odd_setting_is_shown_in_part() {
        assert_eq!(excerpt("a\u{1b}[2J\nb"), "a [2J b");
        assert_eq!(excerpt(&"ä".repeat(121)), format!("{} ...", "ä".repeat(120)));
    }

    /// The words of a statement, if the server's lexer would find nothing in it but names and commas.
    fn lexed(sql: &str) -> Option<Vec<String>> {
        let mut words = Vec::new();
        let mut letters = sql.chars().peekable();
        while let Some(letter) = letters.next() {
            let mut word = letter.to_string();
            match letter {
                ' ' | '\t' | '\n' | '\r' | '\u{c}' => continue,
                ',' => {}
                '"' => loop {
                    let letter = letters.next()?;
                    word.push(letter);
                    if letter == '"' && letters.next_if_eq(&'"').is_none() {
                        break;
                    }
                },
                'a'..='z' | 'A'..='Z' | '_' | '$' | '\u{80}'.. => {
                    let goes_on =
                        |it: &char| it.is_alphanumeric() || !it.is_ascii() || "_$".contains(*it);
                    while let Some(letter) = letters.next_if(goes_on) {
                        word.push(letter);
                    }
                    // This one is a syntax error, and no more.
                    if word.starts_with('$') && word != "$user" {
                        return None;
                    }
                }
                _ => return None,
            }
            words.push(word);
        }
        Some(words)
    }

    proptest! {
        #[test]
        fn what_is_taken_for_names_is_harmless_as_sql(path in "([ab$;,'\"\\-/*.=0\n é(]|pg_catalog|\\$user){0,12}") {
            if let Some(names) = names(&path) {
                let words = lexed(&path);
                prop_assert!(words.is_some(), "{path}");
                let commas = words.iter().flatten().filter(|word| *word == ",").count();
                prop_assert_eq!(commas, names.len().saturating_sub(1));
            }
        }

        #[test]
        fn every_list_of_quoted_names_is_names(list in proptest::collection::vec(any::<String>(), 1..5)) {
            let quoted: Vec<_> = list.iter().map(|it| crate::planner::statement::Identifier(it).to_string()).collect();
            prop_assert_eq!(names(&quoted.join(" ,\t")), Some(list));
        }
    }
}
