//! The layers of `src/`: each folder knows only those below it, and no file knows itself again.

#![expect(clippy::expect_used, reason = "a file that cannot be read is a failed test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// From the top to the bottom. Modules of one layer do not know each other.
const LAYERS: [&[&str]; 8] = [
    &["main"],
    &["lambda"],
    &["cloudformation", "reconcile"],
    &["postgres", "aws"],
    &["request"],
    &["planner"],
    &["credentials", "deadline", "json"],
    &["did_you_mean", "log", "problem", "redact", "text", "tls"],
];

/// Modules of the last layer that know another one of it.
const WITHIN_THE_LAST: [(&str, &str); 3] = [("log", "redact"), ("log", "text"), ("redact", "text")];

/// What the planner must not reach: it neither awaits nor asks anybody.
const NOT_IN_THE_PLANNER: [&str; 7] =
    ["async ", ".await", "tokio", "aws_", "native_tls", "std::time", "std::env"];

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry")) {
        let path = entry.path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The code of each module, without its tests: `planner::removal::decide` to its text.
fn modules() -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    files(&root, &mut found);
    let module = |path: &PathBuf| {
        let text = fs::read_to_string(path).expect("a source file");
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
        let name = path.strip_prefix(&root).expect("below src").with_extension("");
        let name = name.to_str().expect("UTF-8").replace('/', "::");
        (name.trim_end_matches("::mod").to_owned(), lines.collect::<Vec<_>>().join("\n"))
    };
    found.iter().map(module).filter(|(name, _)| name != "lib").collect()
}

/// The modules that a text names: the longest path of each that is a module.
fn named(text: &str, modules: &BTreeMap<String, String>) -> BTreeSet<String> {
    let text = text.replace("cfn_postgres_extensions::", "crate::");
    let mut named = BTreeSet::new();
    for path in text.split("crate::").skip(1) {
        let groups = path.split(';').next().unwrap_or_default();
        for path in expanded(groups) {
            let mut path = path.as_str();
            loop {
                if modules.contains_key(path) {
                    named.insert(path.to_owned());
                    break;
                }
                let Some((start, _)) = path.rsplit_once("::") else { break };
                path = start;
            }
        }
    }
    named
}

/// `a::{b, c::d}` as `a::b` and `a::c::d`.
fn expanded(path: &str) -> Vec<String> {
    let end = path.find(|it: char| !it.is_alphanumeric() && it != '_' && it != ':');
    let (start, rest) = path.split_at(end.unwrap_or(path.len()));
    let Some(group) = rest.strip_prefix('{') else { return vec![start.to_owned()] };
    let mut depth = 0;
    let mut parts = vec![String::new()];
    for letter in group.chars() {
        match letter {
            '}' if depth == 0 => break,
            ',' if depth == 0 => parts.push(String::new()),
            letter => {
                depth += i32::from(letter == '{') - i32::from(letter == '}');
                parts.last_mut().expect("one at least").push(letter);
            }
        }
    }
    let parts = parts.iter().flat_map(|part| expanded(part.trim()));
    parts.map(|part| format!("{start}{part}")).collect()
}

fn layer(module: &str) -> usize {
    let top = module.split("::").next().unwrap_or_default();
    let layer = LAYERS.iter().position(|layer| layer.contains(&top));
    layer.unwrap_or_else(|| panic!("`{top}` is in no layer: name it in LAYERS"))
}

#[test]
fn each_layer_knows_only_those_below_it() {
    let modules = modules();
    for (module, code) in &modules {
        for other in named(code, &modules) {
            let [top, other_top] =
                [module, &other].map(|it| it.split("::").next().unwrap_or_default());
            let is_known = top == other_top
                || layer(module) < layer(&other)
                || WITHIN_THE_LAST.contains(&(top, other_top));
            assert!(is_known, "`{module}` knows `{other}`, which is not below it");
        }
    }
}

#[test]
fn no_module_knows_itself_again() {
    let modules = modules();
    let edges: BTreeMap<&String, BTreeSet<String>> =
        modules.iter().map(|(name, code)| (name, named(code, &modules))).collect();
    for module in modules.keys() {
        let mut reached = BTreeSet::new();
        let mut open: Vec<&String> = edges[module].iter().collect();
        while let Some(next) = open.pop() {
            assert_ne!(next, module, "a circle of imports");
            if reached.insert(next) {
                open.extend(&edges[next]);
            }
        }
    }
}

#[test]
fn every_inherent_impl_is_in_the_file_of_its_type() {
    for (module, code) in modules() {
        let heads = code.lines().filter(|line| line.starts_with("impl"));
        for head in heads.filter(|line| !line.contains(" for ")) {
            let head = head.trim_start_matches("impl");
            let head = if head.starts_with('<') {
                head.split_once("> ").map_or("", |(_, rest)| rest)
            } else {
                head
            };
            let name: String =
                head.trim().chars().take_while(|it| it.is_alphanumeric() || *it == '_').collect();
            let kinds = ["struct", "enum"];
            let is_here = kinds.iter().any(|kind| {
                [" ", "<", "(", ";"].iter().any(|end| code.contains(&format!("{kind} {name}{end}")))
            });
            assert!(is_here, "`{module}` has an impl of `{name}`, which is declared elsewhere");
        }
    }
}

#[test]
fn the_planner_asks_nobody_and_never_waits() {
    for (module, code) in modules().iter().filter(|(name, _)| name.starts_with("planner")) {
        for word in NOT_IN_THE_PLANNER {
            assert!(!code.contains(word), "`{module}` has `{word}`");
        }
    }
}

#[test]
fn statements_that_change_anything_are_built_in_one_place() {
    let ddl = [
        "CREATE EXTENSION ",
        "ALTER EXTENSION ",
        "DROP EXTENSION ",
        "INSERT INTO ",
        "DELETE FROM ",
    ];
    for (module, code) in modules().iter().filter(|(name, _)| *name != "planner::statement") {
        // A message may tell a person what to run.
        let built =
            code.lines().filter(|line| line.contains("write!(") || line.contains("\"CREATE"));
        for line in built {
            assert!(!ddl.iter().any(|word| line.contains(word)), "`{module}`: {line}");
        }
    }
}
