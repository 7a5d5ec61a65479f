//! The properties as CloudFormation sends them: every scalar may be a string.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::did_you_mean::did_you_mean;
use crate::postgres::target::{is_host, is_plain};
use crate::request::{
    Authentication, Databases, MOST_PROBLEMS, Place, Problem, Request, SslMode, Wanted,
};
use crate::text::shown;

/// Every property of the contract.
const PROPERTIES: [&str; 16] = [
    "ServiceToken",
    "ServiceTimeout",
    "DBSecret",
    "PluginsMap",
    "PluginsFrom",
    "Databases",
    "Host",
    "Port",
    "Username",
    "Authentication",
    "SslMode",
    "SslRootCert",
    "RemovalPolicy",
    "DowngradePolicy",
    "DryRun",
    "Trigger",
];

impl Request {
    /// Checks the properties of a Create or an Update.
    ///
    /// # Errors
    /// Every problem there is, in the order of the contract's table.
    pub fn read(properties: Option<&Map<String, Value>>) -> Result<Self, Vec<Problem>> {
        let Some(properties) = properties else { return Err(vec![Problem::NoProperties]) };
        let mut reader = Reader::new(properties);
        let request = Self {
            place: reader.place(),
            wanted: reader.wanted(),
            plugins_from: reader.plugins_from(),
            dry_run: reader.boolean("DryRun"),
            earlier: None,
        };
        let problems = reader.finish();
        if problems.is_empty() { Ok(request) } else { Err(problems) }
    }

    /// Reads what a Delete needs, and lets be what is not right: it may carry what an older version
    /// of the function accepted.
    pub fn read_leniently(properties: Option<&Map<String, Value>>) -> Self {
        let nothing = Map::new();
        let mut reader = Reader::new(properties.unwrap_or(&nothing));
        Self {
            place: reader.place(),
            wanted: Wanted { removal: reader.removal(), ..Wanted::default() },
            plugins_from: None,
            dry_run: reader.boolean("DryRun"),
            earlier: None,
        }
    }
}

/// Reads properties one by one and collects what is wrong with them.
#[derive(Debug)]
pub struct Reader<'a> {
    pub(crate) properties: &'a Map<String, Value>,
    pub(crate) problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    /// Starts with the names, and what only CloudFormation reads.
    pub fn new(properties: &'a Map<String, Value>) -> Self {
        let mut reader = Self { properties, problems: Vec::new() };
        let unknown = properties.keys().filter(|name| !PROPERTIES.contains(&name.as_str()));
        for name in unknown.take(MOST_PROBLEMS) {
            reader.problems.push(Problem::UnknownProperty {
                name: shown(name).into(),
                suggestion: did_you_mean(name, PROPERTIES),
            });
        }
        reader.number("ServiceTimeout", 1..=3600, "a number of seconds from 1 to 3600");
        reader
    }

    /// What is wrong.
    pub fn finish(self) -> Vec<Problem> {
        self.problems
    }

    /// Which server, and how to get in.
    pub fn place(&mut self) -> Place {
        let kinds = [("Password", Authentication::Password), ("IAM", Authentication::Iam)];
        let authentication =
            self.choice("Authentication", &kinds).unwrap_or(Authentication::Password);
        let secret = self.secret_id("DBSecret");
        if secret.is_none()
            && authentication == Authentication::Password
            && !self.is_malformed("DBSecret")
        {
            self.problems.push(Problem::Missing(
                "DBSecret",
                "give the ARN or the name of the Secrets Manager secret with the credentials, or \
                 use `Authentication: IAM`",
            ));
        }
        let modes = [
            ("verify-full", SslMode::VerifyFull),
            ("verify-ca", SslMode::VerifyCa),
            ("require", SslMode::Require),
            ("disable", SslMode::Disable),
        ];
        let ssl_mode = self.choice("SslMode", &modes).unwrap_or(SslMode::VerifyFull);
        if authentication == Authentication::Iam && ssl_mode == SslMode::Disable {
            self.problems.push(Problem::NeedsTls);
        }
        let place = Place {
            is_reference: false,
            secret,
            authentication,
            host: self.checked("Host", is_host, "the DNS name or the address of a server"),
            port: self
                .number("Port", 1..=65535, "a port number from 1 to 65535")
                .and_then(|port| u16::try_from(port).ok()),
            username: self.checked("Username", is_plain, "a name without control characters"),
            databases: self.databases(),
            ssl_mode,
            ssl_root_cert: self.pem("SslRootCert"),
        };
        if authentication == Authentication::Password
            && ssl_mode == SslMode::Disable
            && (place.host.is_some() || place.port.is_some())
        {
            self.problems.push(Problem::InTheClear);
        }
        place
    }

    fn databases(&mut self) -> Databases {
        let Some(mut names) = self.list("Databases") else { return Databases::TheSecrets };
        if names.is_empty() {
            self.malformed("Databases", "`*`, or one or more names: this list is empty");
        }
        if !names.iter().all(|name| is_plain(name)) {
            self.malformed("Databases", "names without control characters");
        }
        if names.iter().any(|name| name == "*") {
            if names.len() > 1 {
                self.malformed("Databases", "either `*`, which is every database, or names");
            }
            return Databases::Every;
        }
        let mut seen = BTreeSet::new();
        names.retain(|name| seen.insert(name.clone()));
        Databases::Named(names)
    }

    /// Whose extensions are wanted too.
    pub fn plugins_from(&mut self) -> Option<String> {
        self.secret_id("PluginsFrom")
    }

    /// The ARN or the name of a secret.
    fn secret_id(&mut self, name: &'static str) -> Option<String> {
        let expected = "the ARN or the name of a secret, as `!Ref` gives it; a dynamic reference \
                        (`{{resolve:secretsmanager:...}}`) puts the secret's text there";
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/_+=.@!:-".contains(&byte);
        self.checked(name, |text| text.len() <= 2048 && text.bytes().all(plain), expected)
    }

    /// A scalar that is of the right form.
    fn checked(
        &mut self,
        name: &'static str,
        is_right: impl Fn(&str) -> bool,
        expected: &'static str,
    ) -> Option<String> {
        let text = self.text(name)?;
        let right = is_right(&text);
        if !right {
            self.malformed(name, expected);
        }
        right.then_some(text)
    }

    /// A scalar as text; an empty one counts as absent, as an empty parameter of a template does.
    pub(crate) fn text(&mut self, name: &'static str) -> Option<String> {
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

    fn number(
        &mut self,
        name: &'static str,
        range: std::ops::RangeInclusive<u32>,
        expected: &'static str,
    ) -> Option<u32> {
        let text = self.text(name)?;
        let number = text.trim().parse().ok().filter(|number| range.contains(number));
        if number.is_none() {
            self.malformed(name, expected);
        }
        number
    }

    /// `true` or `false`, in any case; `false` where it is absent.
    pub fn boolean(&mut self, name: &'static str) -> bool {
        match self.text(name) {
            None => false,
            Some(text) if text.eq_ignore_ascii_case("true") => true,
            Some(text) if text.eq_ignore_ascii_case("false") => false,
            Some(_) => {
                self.malformed(name, "`true` or `false`");
                false
            }
        }
    }

    pub(crate) fn choice<T: Copy>(
        &mut self,
        name: &'static str,
        words: &[(&'static str, T)],
    ) -> Option<T> {
        let value = self.text(name)?;
        let choice = words.iter().find(|(word, _)| *word == value).map(|(_, choice)| *choice);
        if choice.is_none() {
            let allowed: Vec<_> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
            let (last, others) =
                allowed.split_last().map_or(("", &[][..]), |(l, o)| (l.as_str(), o));
            self.problems.push(Problem::NotAllowed {
                name,
                value: shown(&value).into(),
                allowed: format!("{} or {last}", others.join(", ")),
                suggestion: did_you_mean(&value, words.iter().map(|(word, _)| *word)),
            });
        }
        choice
    }

    /// A list, or a string that is split at commas; a comma inside an element of a list is part
    /// of it.
    fn list(&mut self, name: &'static str) -> Option<Vec<String>> {
        let Some(Value::Array(elements)) = self.properties.get(name) else {
            let text = self.text(name)?;
            let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
            return Some(words.map(ToOwned::to_owned).collect());
        };
        let mut list = Vec::new();
        for element in elements {
            match element {
                Value::String(text) if !text.is_empty() && !text.contains('\0') => {
                    list.push(text.clone());
                }
                _ => {
                    self.malformed(name, "a list of names");
                    return None;
                }
            }
        }
        Some(list)
    }

    fn pem(&mut self, name: &'static str) -> Option<String> {
        let text = self.text(name)?;
        match native_tls::Certificate::stack_from_pem(text.as_bytes()) {
            Ok(certificates) if !certificates.is_empty() => Some(text),
            _ => {
                self.malformed(
                    name,
                    "one or more certificates as PEM text, with their line breaks",
                );
                None
            }
        }
    }

    pub(crate) fn malformed(&mut self, name: &str, expected: &'static str) {
        self.problems.push(Problem::Malformed { name: name.to_owned(), expected });
    }

    fn is_malformed(&self, property: &str) -> bool {
        self.problems
            .iter()
            .any(|problem| matches!(problem, Problem::Malformed { name, .. } if name == property))
    }
}
