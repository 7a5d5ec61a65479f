//! The index of messages, `docs/troubleshooting/`, as the tests read it.
//!
//! An entry is a heading `###`, then its messages, each a quote in two backticks, then what to do. In a
//! message `…` stands for any text, `<message>` for another message of the index, and `<messages>` for
//! one, or for several with their numbers. A message that begins with `;`, `,` or `(` continues others.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The folder of the entries.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/troubleshooting")
}

/// One message of an entry.
#[derive(Debug, Clone)]
pub struct Message {
    /// The page, as `secret`.
    pub page: String,
    /// The heading of the entry.
    pub entry: String,
    /// The words, with placeholders.
    pub text: String,
}

impl Message {
    /// The address of the entry, from `docs/`.
    pub fn link(&self) -> String {
        let title = self.entry.to_lowercase();
        let kept = title.chars().filter(|it| it.is_alphanumeric() || " -_".contains(*it));
        let anchor: String = kept.map(|it| if it == ' ' { '-' } else { it }).collect();
        format!("troubleshooting/{}.md#{anchor}", self.page)
    }

    /// Whether it continues other messages.
    pub fn is_end(&self) -> bool {
        self.text.starts_with([';', '(', ','])
    }

    fn parts(&self) -> Vec<Part<'_>> {
        let (mut parts, mut rest) = (Vec::new(), self.text.as_str());
        while !rest.is_empty() {
            let found = PLACEHOLDERS.iter().filter_map(|(mark, part)| {
                rest.find(mark).map(|at| (at, mark.len(), part.clone()))
            });
            let (at, length, part) =
                found.min_by_key(|(at, ..)| *at).unwrap_or((rest.len(), 0, Part::Any));
            if at > 0 {
                parts.push(Part::Words(&rest[..at]));
            }
            if length > 0 {
                parts.push(part);
            }
            rest = &rest[at + length..];
        }
        parts
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part<'a> {
    Words(&'a str),
    Any,
    Message,
    Messages,
}

const PLACEHOLDERS: [(&str, Part); 3] =
    [("…", Part::Any), ("<message>", Part::Message), ("<messages>", Part::Messages)];

/// Every entry.
#[derive(Debug)]
pub struct Index {
    /// The messages of all pages, in their order.
    pub messages: Vec<Message>,
}

impl Index {
    /// Reads the pages.
    pub fn read() -> Self {
        let mut pages: Vec<PathBuf> = fs::read_dir(folder())
            .expect("the index")
            .map(|it| it.expect("a page").path())
            .collect();
        pages.sort();
        let mut messages = Vec::new();
        for path in pages.iter().filter(|path| !path.ends_with("examples.md")) {
            let text = fs::read_to_string(path).expect("a page");
            let page = path.file_stem().expect("a name").to_string_lossy();
            messages.extend(Self::of_page(&page, &text));
        }
        Self { messages }
    }

    fn of_page(page: &str, text: &str) -> Vec<Message> {
        let (mut messages, mut entry, mut quote) = (Vec::new(), "", String::new());
        for line in text.lines().chain([""]) {
            if let Some(line) = line.strip_prefix('>') {
                if !quote.is_empty() {
                    quote.push(' ');
                }
                quote.push_str(line.trim());
            } else if let Some(title) = line.strip_prefix("### ") {
                entry = title;
            }
            if line == ">" || !line.starts_with('>') {
                let text = std::mem::take(&mut quote);
                let text = text.strip_prefix("``").and_then(|it| it.trim_end().strip_suffix("``"));
                // A space keeps a backtick of the message apart from those of the quote.
                messages.extend(text.map(|text| Message {
                    page: page.to_owned(),
                    entry: entry.to_owned(),
                    text: text.trim().to_owned(),
                }));
            }
        }
        messages
    }

    /// The messages that the text is, but for those in its placeholders.
    pub fn of<'a>(&'a self, text: &str) -> Option<&'a Message> {
        Search { index: self, known: HashMap::new() }.message(text.trim())
    }
}

/// One search, which judges no text twice.
struct Search<'a> {
    index: &'a Index,
    known: HashMap<String, Option<&'a Message>>,
}

impl<'a> Search<'a> {
    fn message(&mut self, text: &str) -> Option<&'a Message> {
        if let Some(known) = self.known.get(text) {
            return *known;
        }
        // A text is no part of itself.
        self.known.insert(text.to_owned(), None);
        let found = self.whole(text).or_else(|| self.continued(text));
        self.known.insert(text.to_owned(), found);
        found
    }

    fn whole(&mut self, text: &str) -> Option<&'a Message> {
        let messages = self.index.messages.iter().filter(|it| !it.is_end());
        let mut messages: Vec<&Message> = messages.collect();
        // The one with the most words of its own is meant.
        messages.sort_by_key(|it| std::cmp::Reverse(it.text.len()));
        messages.into_iter().find(|message| self.matches(&message.parts(), text))
    }

    fn continued(&mut self, text: &str) -> Option<&'a Message> {
        let index = self.index;
        for end in index.messages.iter().filter(|it| it.is_end()) {
            let parts = end.parts();
            let Some(Part::Words(first)) = parts.first() else { continue };
            let places: Vec<usize> = text.match_indices(first).map(|(at, _)| at).collect();
            for at in places.into_iter().rev() {
                if self.matches(&parts, &text[at..])
                    && let Some(message) = self.message(text[..at].trim_end())
                {
                    return Some(message);
                }
            }
        }
        None
    }

    fn matches(&mut self, parts: &[Part], text: &str) -> bool {
        match parts {
            [] => text.is_empty(),
            [Part::Words(words), rest @ ..] => {
                text.strip_prefix(words).is_some_and(|after| self.matches(rest, after))
            }
            [placeholder] => self.stands_for(placeholder, text),
            [placeholder, rest @ ..] => {
                let Some(Part::Words(words)) = rest.first() else { return false };
                let places: Vec<usize> = text.match_indices(words).map(|(at, _)| at).collect();
                places.into_iter().any(|at| {
                    self.matches(rest, &text[at..]) && self.stands_for(placeholder, &text[..at])
                })
            }
        }
    }

    fn stands_for(&mut self, placeholder: &Part, text: &str) -> bool {
        match placeholder {
            Part::Any | Part::Words(_) => true,
            Part::Message => self.message(text).is_some(),
            Part::Messages => self.messages(text),
        }
    }

    /// Whether the text is messages, with their numbers or with semicolons between them.
    fn messages(&mut self, text: &str) -> bool {
        numbered(text).into_iter().all(|message| self.message(message).is_some())
            || text.match_indices("; ").any(|(at, between)| {
                self.message(&text[..at]).is_some() && self.messages(&text[at + between.len()..])
            })
    }
}

/// `(1) one; (2) another` as both of them.
fn numbered(text: &str) -> Vec<&str> {
    let Some(mut rest) = text.strip_prefix("(1) ") else { return vec![text] };
    let mut messages = Vec::new();
    while let Some((message, after)) = rest.split_once(&format!("; ({}) ", messages.len() + 2)) {
        messages.push(message);
        rest = after;
    }
    messages.push(rest);
    messages
}
