//! What the stack's author writes: the properties of the custom resource.

use std::collections::BTreeMap;

use fastrand::Rng;
use serde_json::{Value, json};

use super::catalog::{EXTENSIONS, Extension};
use super::world::{Place, SECRETS, Server, World, address};

/// The properties, before they are JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// Which server and database.
    pub place: Place,
    /// How the function learns of the server.
    pub told: Told,
    /// The `PluginsMap`.
    pub map: BTreeMap<String, Wish>,
    /// `DowngradePolicy: Keep`.
    pub keep: bool,
    /// `RemovalPolicy`.
    pub policy: Policy,
    /// `DryRun`.
    pub dry_run: bool,
    /// What is wrong with the properties, if anything is.
    pub flaw: Option<Flaw>,
    /// `Trigger`.
    pub trigger: u8,
}

/// `RemovalPolicy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// All stays.
    Retain,
    /// What was created goes, and nothing with it.
    Drop,
    /// What was created goes, and what depends on it.
    DropCascade,
}

impl Policy {
    fn random(rng: &mut Rng) -> Self {
        [Self::Retain, Self::Drop, Self::DropCascade, Self::DropCascade][rng.usize(..4)]
    }
}

/// How the function learns which server it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// By the secret alone.
    Secret,
    /// By `Host` and `Port`, which beat another server's secret.
    Properties,
}

/// One entry of the map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// The version as the template has it: `''`, `latest`, `1.*`, `1.0`.
    pub version: String,
    /// The schema, where the entry has one.
    pub schema: Option<String>,
}

/// What fails a Create or an Update before anything is planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// An unknown property.
    UnknownProperty,
    /// Properties of an older function, which had other ones.
    Ancient,
    /// No map.
    NoMap,
    /// A version without quotes.
    NumericVersion,
    /// A secret that is not there.
    NoSuchSecret,
    /// A secret with another password.
    WrongPassword,
    /// A database that is not there.
    NoSuchDatabase,
}

const FLAWS: [Flaw; 7] = [
    Flaw::UnknownProperty,
    Flaw::Ancient,
    Flaw::NoMap,
    Flaw::NumericVersion,
    Flaw::NoSuchSecret,
    Flaw::WrongPassword,
    Flaw::NoSuchDatabase,
];

/// Names that no server has, or that mean two extensions.
const ODD_NAMES: [&str; 4] = ["omega", "TWIN", "alpha\"; DROP TABLE t; --", "ALPHA"];

impl Wish {
    fn random(extension: &Extension, rng: &mut Rng) -> Self {
        let exact = extension.versions[rng.usize(..extension.versions.len())];
        let version = match rng.u8(..16) {
            0..=3 => ["", "any", "latest", "latest"][rng.usize(..4)].to_owned(),
            4..=5 => format!("{}*", &exact[..1]),
            6 => format!("{exact}*"),
            7 => ["9.9", "9.*", "1.0'; DROP TABLE t; --"][rng.usize(..3)].to_owned(),
            _ => exact.to_owned(),
        };
        let schema = ["public", "extra", "home"][rng.usize(..3)];
        let schema = (rng.u8(..6) == 0).then(|| schema.to_owned());
        Self { version, schema }
    }
}

impl Template {
    /// Any template.
    pub fn random(rng: &mut Rng) -> Self {
        let mut template = Self {
            place: Place::random(rng),
            told: if rng.bool() { Told::Secret } else { Told::Properties },
            map: BTreeMap::new(),
            keep: rng.u8(..4) == 0,
            policy: Policy::random(rng),
            dry_run: rng.u8(..12) == 0,
            flaw: (rng.u8(..12) == 0).then(|| FLAWS[rng.usize(..FLAWS.len())]),
            trigger: 0,
        };
        for _ in 0..rng.usize(..4) {
            template.add_wish(rng);
        }
        template
    }

    /// The next version of this template: mostly one thing is different.
    #[must_use]
    pub fn edited(&self, rng: &mut Rng) -> Self {
        let mut next = Self { flaw: None, dry_run: false, ..self.clone() };
        match rng.u8(..20) {
            0..=2 => next.add_wish(rng),
            3..=5 => next.change_wish(rng),
            6..=8 => {
                let keys: Vec<String> = next.map.keys().cloned().collect();
                if let Some(key) = rng.choice(keys) {
                    next.map.remove(&key);
                }
            }
            9..=10 => next.place = Place::random(rng),
            11 => {
                next.told = if next.told == Told::Secret { Told::Properties } else { Told::Secret }
            }
            12 => next.keep = !next.keep,
            13 => next.trigger = next.trigger.wrapping_add(1),
            14 => next.flaw = rng.choice(FLAWS),
            15 => next.policy = Policy::random(rng),
            16..=18 => {
                // One for another.
                next.map.pop_first();
                next.add_wish(rng);
            }
            _ => return Self::random(rng),
        }
        next.dry_run = rng.u8(..20) == 0;
        next
    }

    /// Wishes another version of what is in the map already.
    fn change_wish(&mut self, rng: &mut Rng) {
        let keys: Vec<&String> = self.map.keys().collect();
        let known = rng.choice(keys).and_then(|key| {
            EXTENSIONS
                .iter()
                .find(|it| it.name.eq_ignore_ascii_case(key))
                .map(|it| (key.clone(), it))
        });
        match known {
            Some((key, extension)) => {
                self.map.insert(key, Wish::random(extension, rng));
            }
            None => self.add_wish(rng),
        }
    }

    fn add_wish(&mut self, rng: &mut Rng) {
        let extension = &EXTENSIONS[rng.usize(..EXTENSIONS.len())];
        let name = match rng.u8(..24) {
            0 => ODD_NAMES[rng.usize(..ODD_NAMES.len())].to_owned(),
            1..=3 => extension.name.to_lowercase(),
            _ => extension.name.to_owned(),
        };
        self.map.insert(name, Wish::random(extension, rng));
    }

    /// The keys of its map, as far as anybody can read it.
    pub fn keys(&self) -> Vec<&str> {
        match self.flaw {
            Some(Flaw::Ancient | Flaw::NoMap) => Vec::new(),
            flaw => {
                let more = (flaw == Some(Flaw::NumericVersion)).then_some("beta");
                self.map.keys().map(String::as_str).chain(more).collect()
            }
        }
    }

    /// The properties as `CloudFormation` sends them, every scalar a string.
    pub fn properties(&self, world: &World) -> Value {
        if self.flaw == Some(Flaw::Ancient) {
            return json!({ "ServiceToken": "arn:aws:lambda:eu-west-1:1:function:old",
                           "DBName": "app", "Sql": ["CREATE EXTENSION alpha"], "Retries": "3" });
        }
        let wish = |wish: &Wish| match &wish.schema {
            None => json!(wish.version),
            Some(schema) => json!({ "Version": wish.version, "Schema": schema }),
        };
        let map: BTreeMap<&String, Value> =
            self.map.iter().map(|(name, it)| (name, wish(it))).collect();
        let mut properties = json!({
            "ServiceToken": "arn:aws:lambda:eu-west-1:123456789012:function:postgres-extensions",
            "ServiceTimeout": "600",
            "SslMode": "disable",
            "DBSecret": SECRETS[self.place.server as usize],
            "Databases": world.name_of(self.place),
            "PluginsMap": map,
            "DryRun": if self.dry_run { "true" } else { "FALSE" },
            "DowngradePolicy": if self.keep { "Keep" } else { "Fail" },
            "RemovalPolicy": format!("{:?}", self.policy),
            "Trigger": self.trigger.to_string(),
        });
        if self.told == Told::Properties {
            let (host, port) = address(self.place.server);
            properties["DBSecret"] = json!(SECRETS[Server::A as usize]);
            properties["Host"] = json!(host);
            properties["Port"] = json!(port.to_string());
            properties["SslMode"] = json!("require");
        }
        match self.flaw {
            Some(Flaw::UnknownProperty) => properties["Pluginsmap"] = json!({}),
            Some(Flaw::NoMap) => properties["PluginsMap"] = Value::Null,
            Some(Flaw::NumericVersion) => properties["PluginsMap"]["beta"] = json!(2.1),
            Some(Flaw::NoSuchSecret) => properties["DBSecret"] = json!("no/such/secret"),
            Some(Flaw::WrongPassword) => properties["DBSecret"] = json!(SECRETS[3]),
            Some(Flaw::NoSuchDatabase) => properties["Databases"] = json!("no_such_database"),
            Some(Flaw::Ancient) | None => {}
        }
        properties
    }
}
