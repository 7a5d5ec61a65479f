//! Properties as CloudFormation sends them, where every scalar may be a string, read one by one.

use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use crate::did_you_mean::did_you_mean;
use crate::problem::Problem;
use crate::text::shown;

/// Reads properties one by one and collects what is wrong with them.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    /// What is read.
    pub properties: &'a Map<String, Value>,
    /// What is wrong with it.
    pub problems: Vec<Problem>,
}

impl Reader<'_> {
    /// Adds a problem.
    pub fn problem(&mut self, sentence: impl Into<String>) {
        self.problems.push(Problem::new(sentence));
    }

    /// Says what a property must be; never what it is, which may be a secret's text.
    pub fn malformed(&mut self, name: &str, expected: &str) {
        self.problem(format!("`{name}` must be {expected}"));
    }

    /// Whether a property is there: not absent, not null, not empty.
    pub fn has(&self, name: &str) -> bool {
        self.properties.get(name).is_some_and(|value| !value.is_null() && value != "")
    }

    /// A scalar as text; an empty one counts as absent, as an empty parameter of a template does.
    pub fn text(&mut self, name: &str) -> Option<String> {
        match self.properties.get(name)? {
            Value::Null => None,
            Value::String(text) if text.is_empty() => None,
            Value::String(text) if !text.contains('\0') => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(boolean) => Some(boolean.to_string()),
            _ => {
                self.malformed(name, "a string");
                None
            }
        }
    }

    /// A scalar that is of the right form.
    pub fn checked(
        &mut self,
        name: &str,
        is_right: impl Fn(&str) -> bool,
        expected: &str,
    ) -> Option<String> {
        let text = self.text(name)?;
        let right = is_right(&text);
        if !right {
            self.malformed(name, expected);
        }
        right.then_some(text)
    }

    /// A whole number within a range.
    pub fn number(
        &mut self,
        name: &str,
        range: RangeInclusive<u16>,
        expected: &str,
    ) -> Option<u16> {
        let number = |text: &str| text.trim().parse().ok().filter(|number| range.contains(number));
        let text = self.checked(name, |text| number(text).is_some(), expected)?;
        number(&text)
    }

    /// `true` or `false`, in any case; `false` where it is absent.
    pub fn boolean(&mut self, name: &str) -> bool {
        let is = |text: &str, word: &str| text.eq_ignore_ascii_case(word);
        let is_boolean = |text: &str| is(text, "true") || is(text, "false");
        let text = self.checked(name, is_boolean, "`true` or `false`");
        text.is_some_and(|text| is(&text, "true"))
    }

    /// What one of these words stands for; what the first does where the property is absent.
    pub fn choice<T: Copy>(&mut self, name: &str, words: &[(&str, T)]) -> T {
        let default = words[0].1;
        let Some(value) = self.text(name) else { return default };
        if let Some((_, choice)) = words.iter().find(|(word, _)| *word == value) {
            return *choice;
        }
        let names: Vec<String> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
        let (last, others) = (&names[names.len() - 1], names[..names.len() - 1].join(", "));
        let suggestion = did_you_mean(&value, words.iter().map(|(word, _)| *word));
        let value = shown(&value);
        self.problem(format!("`{name}` is `{value}`: use {others} or {last}{suggestion}"));
        default
    }

    /// A list, or a string that is split at commas; a comma inside an element of a list is part
    /// of it.
    pub fn list(&mut self, name: &str) -> Option<Vec<String>> {
        let Some(Value::Array(elements)) = self.properties.get(name) else {
            let text = self.text(name)?;
            let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
            return Some(words.map(ToOwned::to_owned).collect());
        };
        let is_name = |text: &&str| !text.is_empty() && !text.contains('\0');
        let names = elements.iter().map(|element| element.as_str().filter(is_name));
        let names: Option<Vec<String>> = names.map(|name| name.map(ToOwned::to_owned)).collect();
        if names.is_none() {
            self.malformed(name, "a list of names");
        }
        names
    }
}
