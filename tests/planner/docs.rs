//! What the documentation claims is there.

use std::fs;
use std::path::{Path, PathBuf};

/// The fewest rows that the tables of faults may have.
const FEWEST: usize = 40;

/// A file of the repository.
fn read(path: &str) -> Option<String> {
    fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)).ok()
}

/// The rows of the tables of faults: their cells, but for headings and rules.
fn faults(text: &str) -> Vec<Vec<&str>> {
    let (_, tables) = text.split_once("## The faults").unwrap_or_default();
    let rows = tables.lines().filter_map(|line| line.strip_prefix('|')?.strip_suffix('|'));
    let cells = rows.map(|row| row.split('|').map(str::trim).collect::<Vec<_>>());
    cells.filter(|row| row[0] != "---" && !row[0].starts_with("fault")).collect()
}

/// What is between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The texts of all modules of this name in `tests/`.
fn modules(folder: &Path, name: &str) -> Vec<String> {
    let mut texts = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            texts.extend(modules(&path, name));
            if path.ends_with(name) {
                texts.extend(fs::read_to_string(path.join("mod.rs")));
            }
        } else if path.file_name().is_some_and(|file| file == format!("{name}.rs").as_str()) {
            texts.extend(fs::read_to_string(path));
        }
    }
    texts
}

/// Whether `module::name` is a test in `tests/`.
fn is_a_test(place: &str) -> bool {
    let Some((module, name)) = place.split_once("::") else { return false };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    modules(&folder, module).iter().any(|source| {
        source.match_indices("#[test]").any(|(at, mark)| {
            let rest = source[at + mark.len()..].trim_start();
            rest.strip_prefix("fn ").is_some_and(|rest| rest.starts_with(&format!("{name}(")))
        })
    })
}

#[test]
fn every_fault_has_a_test_that_is_there() {
    let text = read("docs/reliability.md").unwrap_or_default();
    let rows = faults(&text);
    assert!(rows.len() >= FEWEST, "{} rows", rows.len());
    for row in &rows {
        let mut tests = row.last().copied().into_iter().flat_map(quoted).peekable();
        assert!(tests.peek().is_some(), "no test: {row:?}");
        for test in tests {
            assert!(is_a_test(test), "there is no test `{test}`, for: {}", row[0]);
        }
    }
    for place in quoted(&text).filter(|word| word.contains("::")) {
        assert!(is_a_test(place), "there is no test `{place}`");
    }
    println!("{} faults", rows.len());
}

#[test]
fn every_situation_of_a_removal_has_a_test_that_is_there() {
    let text = read("docs/removal.md").unwrap_or_default();
    let (_, table) = text.split_once("## Situations").unwrap_or_default();
    let (table, _) = table.split_once("\n## ").unwrap_or_default();
    let rows = table.lines().filter_map(|line| line.strip_prefix('|')?.strip_suffix('|'));
    let rows: Vec<Vec<&str>> = rows.map(|row| row.split('|').collect()).skip(2).collect();
    assert!(rows.len() >= 25, "{} rows", rows.len());
    for row in &rows {
        assert_eq!(row.len(), 4, "{row:?}");
        assert!(quoted(row[3]).next().is_some(), "no test: {row:?}");
        for test in quoted(row[3]) {
            assert!(is_a_test(test), "there is no test `{test}`, for: {}", row[0]);
        }
    }
    for place in quoted(&text).filter(|word| word.contains("::")) {
        assert!(is_a_test(place), "there is no test `{place}`");
    }
    println!("{} situations", rows.len());
}

/// Whether `place::name` is in `src/`: a function of a module or a type, a constant or a variant of one.
fn is_in_source(folder: &Path, place: &str) -> bool {
    let Some((owner, name)) = place.split_once("::") else { return false };
    let kinds = ["fn ", "const ", "    "];
    fs::read_dir(folder).into_iter().flatten().flatten().any(|entry| {
        let path = entry.path();
        if path.is_dir() {
            return is_in_source(&path, place);
        }
        let text = fs::read_to_string(&path).unwrap_or_default();
        let is_module = path.file_stem().is_some_and(|stem| stem == owner);
        let types = [format!("enum {owner} "), format!("impl {owner} "), format!("impl {owner}<")];
        (is_module
            || types.iter().any(|it| text.contains(it))
            || text.contains(&format!("> {owner}<")))
            && kinds.iter().any(|kind| {
                ["(", "<", ":", ","].iter().any(|end| text.contains(&format!("{kind}{name}{end}")))
            })
    })
}

#[test]
fn what_the_architecture_names_is_in_the_source() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let text = read("ARCHITECTURE.md").unwrap_or_default();
    let places: Vec<&str> = quoted(&text).filter(|word| word.contains("::")).collect();
    assert!(places.len() >= 20, "{places:?}");
    for place in places {
        assert!(is_in_source(&source, place), "there is no `{place}` in src/");
    }
    for wrong in ["handler::no_such_function", "nowhere::handle", "Session::plan", "handler"] {
        assert!(!is_in_source(&source, wrong), "{wrong}");
    }
}

#[test]
fn a_test_that_is_not_there_is_noticed() {
    assert!(is_a_test("docs::a_test_that_is_not_there_is_noticed"));
    for wrong in ["docs::no_such_test", "nowhere::a_test", "docs::is_a_test", "docs::", "docs"] {
        assert!(!is_a_test(wrong), "{wrong}");
    }
}
