//! JSON of which only what is asked for is judged: the rest may be nested at any
//! depth and hold half surrogate pairs and numbers of any size.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fmt::{self, Formatter};

use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde_json::value::RawValue;

/// The members of a JSON object.
#[derive(Debug, Default)]
pub struct Object<'a>(BTreeMap<Text, &'a RawValue>);

impl<'a> Object<'a> {
    /// The members of the object that `json` is; none where it is something else. The last of
    /// several with the same name counts.
    pub fn read(json: &'a str) -> Self {
        serde_json::from_str(json).map(Self).unwrap_or_default()
    }

    /// The JSON of a member, where it is there and not null.
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.0.get(name).map(|raw| raw.get()).filter(|json| *json != "null")
    }

    /// A member that is an object; without members where it is none.
    #[must_use]
    pub fn object(&self, name: &str) -> Self {
        self.get(name).map(Self::read).unwrap_or_default()
    }

    /// A member that is a string; half a surrogate pair is U+FFFD in it.
    pub fn text(&self, name: &str) -> Option<String> {
        self.get(name).and_then(text)
    }
}

/// The string that `json` is; half a surrogate pair is U+FFFD in it.
pub fn text(json: &str) -> Option<String> {
    serde_json::from_str(json).ok().map(|Text(text)| text)
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Text(String);

impl Borrow<str> for Text {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Text;

            fn expecting(&self, out: &mut Formatter<'_>) -> fmt::Result {
                out.write_str("a string")
            }

            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Text, E> {
                Ok(Text(String::from_utf8_lossy(bytes).into_owned()))
            }
        }
        // As bytes, since `serde_json` refuses half a surrogate pair in a string.
        deserializer.deserialize_bytes(Bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_asks_for_is_not_judged() {
        let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
        let json = format!(
            r#"{{ "deep": {deep}, "half": "a\ud800b", "\udfff": 1e999, "big": -1e99999, "n": null,
                  "o": {{ "deep": {deep}, "x": "1" }}, "x": 1, "x": "\u00e4\ud83d\udc18\n" }}"#
        );
        let object = Object::read(&json);
        assert_eq!(object.get("deep"), Some(deep.as_str()));
        assert_eq!(object.text("half").as_deref(), Some("a\u{fffd}\u{fffd}\u{fffd}b"));
        assert_eq!(object.get("big"), Some("-1e99999"));
        assert_eq!(object.text("x").as_deref(), Some("ä🐘\n"), "the last one counts");
        assert_eq!(object.object("o").text("x").as_deref(), Some("1"));
        assert_eq!((object.get("n"), object.get("y"), object.text("big")), (None, None, None));
        for other in ["null", "[]", "\"x\"", "1e999", "", "{"] {
            assert!(Object::read(other).0.is_empty(), "{other}");
        }
    }
}
