//! Every message of the function and of the fleet, as the source and the snapshots have it.
//!
//! A message is any string of two words or more between its placeholders: nobody has to mark one.

#![expect(clippy::expect_used, reason = "a file that cannot be read is a failed test")]

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::LitStr;

/// Files of `src/` whose strings are SQL.
const SQL: [&str; 2] = ["planner/statement.rs", "planner/removal/dependents.rs"];

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The files of a folder that end so, with those of its folders.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let entries =
        fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let mut found: Vec<PathBuf> = entries
        .flat_map(|path| if path.is_dir() { files(&path, ending) } else { vec![path] })
        .filter(|path| path.to_string_lossy().ends_with(ending))
        .collect();
    found.sort();
    found
}

/// The words of a text between its placeholders, where they are two or more.
pub fn words(text: &str, is_placeholder: impl Fn(char) -> bool) -> Vec<String> {
    let runs = text.split(is_placeholder).map(|run| {
        let run = run.split_whitespace().collect::<Vec<_>>().join(" ");
        run.trim_matches(|it: char| !it.is_alphanumeric()).to_owned()
    });
    runs.filter(|run| run.contains(' ')).collect()
}

/// A format string, with one mark for each `{...}`.
fn marked(text: &str) -> String {
    let mut rest = text;
    let mut marked = String::new();
    while let Some((before, after)) = rest.split_once('{') {
        let end = after.find(['{', '}']).map_or(after, |end| &after[end..]);
        let _ = write!(marked, "{before}\0");
        rest = end.trim_start_matches('}');
    }
    marked + rest
}

/// Every string of the code, but for documentation, tests and what is logged alone.
fn strings(tokens: TokenStream, found: &mut Vec<String>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let is = |at: usize, text: &str| tokens.get(at).is_some_and(|it| it.to_string() == text);
    let starts = |at: usize, text: &str| match tokens.get(at) {
        Some(TokenTree::Group(group)) => group.stream().to_string().starts_with(text),
        _ => false,
    };
    let mut at = 0;
    while at < tokens.len() {
        if is(at, "#") && starts(at + 1, "cfg (test)") {
            // With what it is about.
            let is_end = |it: &TokenTree| match it {
                TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
                it => it.to_string() == ";",
            };
            at += tokens[at..].iter().position(is_end).unwrap_or_default() + 1;
            continue;
        }
        if starts(at, "doc =") || starts(at, "expect (") {
            at += 1;
            continue;
        }
        if is(at, "log") && is(at + 1, ":") {
            at += 5;
            continue;
        }
        match &tokens[at] {
            TokenTree::Group(group) => strings(group.stream(), found),
            TokenTree::Literal(literal) => {
                found.extend(syn::parse_str(&literal.to_string()).map(|it: LitStr| it.value()));
            }
            _ => {}
        }
        at += 1;
    }
}

/// The words of every message of `src/`, with the file.
fn of_source() -> BTreeSet<(String, String)> {
    let folder = root().join("src");
    let mut found = BTreeSet::new();
    for path in files(&folder, ".rs") {
        let file =
            path.strip_prefix(&folder).expect("a file of src").to_string_lossy().into_owned();
        let mut texts = Vec::new();
        strings(read(&path).parse().expect("Rust"), &mut texts);
        let texts = texts.iter().filter(|_| !SQL.contains(&file.as_str()));
        let words = texts.flat_map(|text| words(&marked(text), |it| it == '\0'));
        found.extend(words.map(|words| (words, file.clone())));
    }
    found
}

/// The words of the one message that a query makes.
fn of_sql() -> BTreeSet<(String, String)> {
    let text = read(&root().join("src/postgres/sql/lock_holder.sql"));
    let texts = text.split('\'').skip(1).step_by(2);
    let words = texts.flat_map(|text| words(&text.replace("%s", "\0"), |it| it == '\0'));
    words.map(|words| (words, "lock_holder.sql".to_owned())).collect()
}

/// The words of every message of the fleet: the texts in its expressions, and each `Cause`.
fn of_fleet() -> BTreeSet<(String, String)> {
    let mut found = BTreeSet::new();
    for path in files(&root().join("fleet"), ".asl.yaml") {
        let text = read(&path);
        let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
        let text = lines.flat_map(str::split_whitespace).collect::<Vec<_>>().join(" ");
        let expressions = text.split("{%").skip(1).filter_map(|it| it.split("%}").next());
        let quoted = expressions.flat_map(|it| it.split('\'').skip(1).step_by(2));
        let causes = ["Cause: ", "Output: "].map(|key| text.split(key).skip(1));
        let causes = causes.into_iter().flatten().filter(|it| !it.starts_with(['{', '"']));
        let causes = causes.filter_map(|it| match it.strip_prefix('\'') {
            Some(quoted) => quoted.split('\'').next(),
            None => it.strip_prefix(">- ").and_then(|it| it.split(" Next:").next()),
        });
        let causes = causes.filter(|it| !it.starts_with("{%"));
        let texts = quoted.chain(causes).filter(|text| text.split(' ').count() > 2);
        let file = path.file_name().expect("a name").to_string_lossy();
        let words =
            texts.flat_map(|text| words(&text.replace("${", "\0{"), |it| "\0{}".contains(it)));
        found.extend(words.map(|words| (words, file.clone().into_owned())));
    }
    found
}

/// The names of the errors that the fleet's executions and databases fail with.
pub fn errors_of_fleet() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for path in files(&root().join("fleet"), ".asl.yaml") {
        let text = read(&path);
        let lines = text.lines().filter_map(|line| line.trim().strip_prefix("Error: "));
        found.extend(lines.filter(|it| !it.contains('{')).map(ToOwned::to_owned));
        let ends = text.lines().filter_map(|line| line.trim().strip_prefix("failure: "));
        let ends = ends.flat_map(|it| it.split('\'').skip(1).step_by(2));
        found.extend(ends.filter(|it| !it.contains('$')).map(ToOwned::to_owned));
    }
    assert!(found.len() >= 9, "{found:?}");
    found
}

/// Every refusal, and what is told in `Changes` beside the changes, of the snapshots.
pub fn of_snapshots() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for path in files(&root().join("tests/planner/snapshots"), ".snap") {
        let text = read(&path);
        let lines =
            text.lines().map(|line| (line.strip_prefix("refused: "), line.strip_prefix("-- ")));
        found.extend(lines.filter_map(|(refused, told)| refused.or(told)).map(ToOwned::to_owned));
    }
    assert!(found.len() > 100, "{} messages", found.len());
    found
}

/// The words of all messages, with the file.
pub fn of_all() -> BTreeSet<(String, String)> {
    let all: BTreeSet<_> = of_source().into_iter().chain(of_sql()).chain(of_fleet()).collect();
    assert!(all.len() > 300, "{} messages", all.len());
    all
}

#[test]
fn the_strings_of_code_are_its_messages() {
    let mut texts = Vec::new();
    let code = r#"
        /// A comment with words.
        #[error("a new variant, which says {what}")] struct Error;
        fn told() { log::info("a line of the log"); Problem::new(format!("one {{thing}} more: {}", 1)) }
        #[cfg(test)] use super::x;
        #[cfg(test)] mod tests { const TEXT: &str = "a text of a test"; }
    "#;
    strings(code.parse().expect("Rust"), &mut texts);
    assert_eq!(texts, ["a new variant, which says {what}", "one {{thing}} more: {}"]);
    let words: Vec<String> =
        texts.iter().flat_map(|it| words(&marked(it), |it| it == '\0')).collect();
    assert_eq!(words, ["a new variant, which says"]);
}
