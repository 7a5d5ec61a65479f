//! The index of messages, `docs/troubleshooting/`, has every message of the function and of the fleet,
//! and no other.
//!
//! A message is what the source has in a string, and what a snapshot has as a refusal. So a new one
//! without an entry fails here. `tests/function` matches what it meets at run time.

#![expect(clippy::expect_used, reason = "a file that cannot be read is a failed test")]

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

use crate::messages::{errors_of_fleet, of_all, of_snapshots, read, root, words};

#[path = "../support/troubleshooting.rs"]
mod index;

use index::Index;

/// Words of the source that no user meets as a message.
const NOT_MESSAGES: [(&str, &[&str]); 6] = [
    ("settings of a session", &["SET ", "BEGIN "]),
    (
        "what the log alone has",
        &["Dry run", "Installing plugin", "Writing the claims", "which takes along"],
    ),
    ("lines of the log", &["connecting to", "trying again", "no RequestType", "no stack"]),
    (
        "what is missing in another one's message",
        &[
            "no LogicalResourceId",
            "no RequestId",
            "no condition",
            "no error",
            "no message",
            "no HTTP status",
            "none are configured",
        ],
    ),
    ("the compiler's", &["a panic must unwind"]),
    ("names", &["Amazon Trust Services", "create, update, move or drop", "Status Code"]),
];

/// The words of a message of the index.
fn of_entry(text: &str) -> Vec<String> {
    let text = text.replace("<messages>", "…").replace("<message>", "…");
    words(&text, |it| it == '…')
}

#[test]
fn every_message_of_the_source_is_in_the_index() {
    let index = Index::read();
    let is_in = |words: &str| index.messages.iter().any(|it| it.text.contains(words));
    let mut others: BTreeSet<&str> =
        NOT_MESSAGES.iter().flat_map(|(_, words)| *words).copied().collect();
    let mut missing = Vec::new();
    for (words, file) in of_all().iter().filter(|(words, _)| !is_in(words)) {
        match NOT_MESSAGES.iter().flat_map(|(_, words)| *words).find(|it| words.starts_with(**it)) {
            Some(other) => _ = others.remove(other),
            None => missing.push(format!("{file}: {words}")),
        }
    }
    assert!(missing.is_empty(), "no entry in docs/troubleshooting/ has:\n{}", missing.join("\n"));
    assert!(others.is_empty(), "no exception any more: {others:?}");
}

#[test]
fn every_message_of_the_snapshots_is_in_the_index() {
    let index = Index::read();
    let missing: Vec<String> =
        of_snapshots().into_iter().filter(|message| index.of(message).is_none()).collect();
    assert!(missing.is_empty(), "no entry in docs/troubleshooting/ has:\n{}", missing.join("\n"));
}

#[test]
fn every_message_of_the_index_is_in_the_source() {
    let mut sources: Vec<String> = of_all().into_iter().map(|(words, _)| words).collect();
    sources.extend(of_snapshots());
    sources.sort_by_key(|words| std::cmp::Reverse(words.len()));
    // A message may be put together of several strings, and a single word between them is no string here.
    let is_said = |words: &String| {
        let rest = sources.iter().fold(words.clone(), |rest, said| rest.replace(said.as_str(), ""));
        sources.iter().any(|said| said.contains(words.as_str()))
            || rest.split(|it: char| !it.is_alphanumeric()).filter(|it| !it.is_empty()).count() < 3
    };
    let index = Index::read();
    assert!(index.messages.len() > 150, "{} messages", index.messages.len());
    for message in &index.messages {
        for words in of_entry(&message.text) {
            assert!(is_said(&words), "{}: nothing says `{words}` any more", message.link());
        }
    }
}

#[test]
fn every_error_of_the_fleet_has_an_entry() {
    let pages = read(&index::folder().join("fleet.md"));
    let headings: String = pages.lines().filter(|line| line.starts_with("### ")).collect();
    for error in errors_of_fleet() {
        assert!(
            headings.contains(&error),
            "docs/troubleshooting/fleet.md has no heading `{error}`"
        );
    }
}

/// The list of all messages, and the examples of the snapshots, as they stand in the documentation.
fn generated(index: &Index) -> [(PathBuf, String); 2] {
    let quoted = |text: &str| {
        let space = |is: bool| if is { " " } else { "" };
        let (start, end) = (space(text.starts_with('`')), space(text.ends_with('`')));
        format!("``{start}{text}{end}``")
    };
    let mut lines: Vec<(String, String)> = Vec::new();
    for message in &index.messages {
        // By its first word: placeholders and signs come before that.
        let key = message.text.trim_start_matches("<message>");
        let key = key.trim_start_matches(|it: char| !it.is_alphanumeric()).to_lowercase();
        lines.push((
            key,
            format!("- {} → [{}]({})", quoted(&message.text), message.entry, message.link()),
        ));
    }
    lines.sort();
    let list: Vec<String> = lines.into_iter().map(|(_, line)| line).collect();
    let page = root().join("docs/troubleshooting.md");
    let text = read(&page);
    let (before, _) = text.split_once("<!-- generated -->").expect("a mark");
    let list = format!("{before}<!-- generated -->\n\n{}\n", list.join("\n"));
    let mut examples = String::from(
        "# Examples of messages\n\nMessages of the tests, with names and versions in place, and their \
         entries.\n`make troubleshooting` makes this page.\n\n",
    );
    for example in of_snapshots() {
        if let Some(message) = index.of(&example).filter(|it| it.page != "success") {
            let link = message.link();
            let link = link.trim_start_matches("troubleshooting/");
            let _ = writeln!(examples, "- {} → [{}]({link})", quoted(&example), message.entry);
        }
    }
    [(page, list), (index::folder().join("examples.md"), examples)]
}

#[test]
fn the_list_and_the_examples_are_current() {
    for (path, text) in generated(&Index::read()) {
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&path, text).expect("a page");
        } else {
            let is_current = read(&path) == text;
            assert!(is_current, "{} is not current: make troubleshooting", path.display());
        }
    }
}

#[test]
fn a_message_without_an_entry_is_noticed() {
    let index = Index::read();
    for known in [
        "the properties are not right: `DBSecret` must be a string",
        "the properties are not right; 2 problems: (1) `DBSecret` must be a string; (2) unknown property `x`; \
         did you mean `y`? (log stream: 2026/01/31/[$LATEST]ab)",
    ] {
        assert!(index.of(known).is_some(), "{known}");
    }
    for unknown in [
        "the properties are not right: `DBSecret` must be a strong",
        "the properties are not right; 2 problems: (1) `DBSecret` must be a string; (2) nobody wrote this",
        "`DBSecret` must be a string, and more",
        "nobody wrote this (log stream: 2026/01/31/[$LATEST]ab)",
        "",
    ] {
        assert!(index.of(unknown).is_none(), "{unknown}");
    }
}
