//! The properties of the custom resource: strict for a Create and an Update, all problems at once.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::cloudformation::plugins_map;
use crate::cloudformation::reader::Reader;
use crate::did_you_mean::did_you_mean;
use crate::planner::desired::{Desired, DowngradePolicy, RemovalPolicy};
use crate::problem::{MAX_PROBLEMS, Problem};
use crate::request::{Authentication, ConnectionProperties, Databases, Request, is_host, is_name};
use crate::text::shown;
use crate::tls::{SslMode, is_pem};

/// Every property.
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

/// What is read of `PluginsMap` and `PluginsFrom`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Entries {
    /// One of them has to be there.
    Required,
    /// Both may be absent.
    Optional,
    /// Nothing.
    Ignored,
}

/// Checks the properties of a Create or an Update.
///
/// # Errors
/// Every problem there is.
pub fn read(properties: Option<&Map<String, Value>>) -> Result<Request, Vec<Problem>> {
    read_strictly(properties, Entries::Required)
}

/// Checks the properties of an Inspect: the same ones, and no map has to be there.
///
/// # Errors
/// Every problem there is.
pub fn read_for_inspect(properties: Option<&Map<String, Value>>) -> Result<Request, Vec<Problem>> {
    read_strictly(properties, Entries::Optional)
}

fn read_strictly(
    properties: Option<&Map<String, Value>>,
    entries: Entries,
) -> Result<Request, Vec<Problem>> {
    let Some(properties) = properties else {
        return Err(vec![Problem::new("the event has no `ResourceProperties` object")]);
    };
    let mut reader = Reader { properties, problems: Vec::new() };
    let unknown = properties.keys().filter(|name| !PROPERTIES.contains(&name.as_str()));
    for name in unknown.take(MAX_PROBLEMS) {
        let suggestion = did_you_mean(name, PROPERTIES);
        reader.problem(format!("unknown property `{}`{suggestion}", shown(name)));
    }
    reader.number("ServiceTimeout", 1..=3600, "a number of seconds from 1 to 3600");
    let request = request(&mut reader, entries);
    if reader.problems.is_empty() { Ok(request) } else { Err(reader.problems) }
}

/// Reads what a Delete needs, and lets be what is not right: it may carry what an older version of the
/// function accepted.
pub fn read_leniently(properties: Option<&Map<String, Value>>) -> Request {
    let nothing = Map::new();
    let properties = properties.unwrap_or(&nothing);
    request(&mut Reader { properties, problems: Vec::new() }, Entries::Ignored)
}

fn request(reader: &mut Reader, entries: Entries) -> Request {
    let connection = connection(reader);
    let downgrade = reader.choice(
        "DowngradePolicy",
        &[("Fail", DowngradePolicy::Fail), ("Keep", DowngradePolicy::Keep)],
    );
    let removal = reader.choice(
        "RemovalPolicy",
        &[
            ("Retain", RemovalPolicy::Retain),
            ("Drop", RemovalPolicy::Drop),
            ("DropCascade", RemovalPolicy::DropCascade),
        ],
    );
    let is_read = entries != Entries::Ignored;
    let (extensions, unnamed) = if is_read {
        plugins_map::read(reader, entries == Entries::Required)
    } else {
        (BTreeMap::new(), None)
    };
    Request {
        connection,
        desired: Desired { extensions, unnamed, downgrade, removal, ..Desired::default() },
        plugins_from: if is_read { secret_id(reader, "PluginsFrom") } else { None },
        dry_run: reader.boolean("DryRun"),
    }
}

fn connection(reader: &mut Reader) -> ConnectionProperties {
    let authentication = reader.choice(
        "Authentication",
        &[("Password", Authentication::Password), ("IAM", Authentication::Iam)],
    );
    let is_password = authentication == Authentication::Password;
    if is_password && !reader.has("DBSecret") {
        reader.problem(
            "`DBSecret` is missing: give the ARN or the name of the Secrets Manager secret with the \
             credentials, or use `Authentication: IAM`",
        );
    }
    let modes = [
        ("verify-full", SslMode::VerifyFull),
        ("verify-ca", SslMode::VerifyCa),
        ("require", SslMode::Require),
        ("disable", SslMode::Disable),
    ];
    let connection = ConnectionProperties {
        is_reference: false,
        secret: secret_id(reader, "DBSecret"),
        authentication,
        ssl_mode: reader.choice("SslMode", &modes),
        host: reader.checked("Host", is_host, "the DNS name or the address of a server"),
        port: reader.number("Port", 1..=u16::MAX, "a port number from 1 to 65535"),
        username: reader.checked("Username", is_name, "a name without control characters"),
        databases: databases(reader),
        ssl_root_cert: reader.checked(
            "SslRootCert",
            is_pem,
            "one or more certificates as PEM text, with their line breaks",
        ),
    };
    if connection.ssl_mode == SslMode::Disable {
        if !is_password {
            reader.problem("`Authentication: IAM` needs TLS: leave `SslMode: disable` out");
        } else if connection.host.is_some() || connection.port.is_some() {
            reader.problem(
                "`SslMode: disable` does not go with `Host` or `Port`: a password that goes where the \
                 template says needs TLS; leave `SslMode` out, or put host and port into the secret",
            );
        }
    }
    connection
}

fn databases(reader: &mut Reader) -> Databases {
    let Some(mut names) = reader.list("Databases") else { return Databases::OfSecret };
    if names.is_empty() {
        reader.malformed("Databases", "`*`, or one or more names: this list is empty");
    }
    if !names.iter().all(|name| is_name(name)) {
        reader.malformed("Databases", "names without control characters");
    }
    if names.iter().any(|name| name == "*") {
        if names.len() > 1 {
            reader.malformed("Databases", "either `*`, which is every database, or names");
        }
        return Databases::Every;
    }
    let mut seen = BTreeSet::new();
    names.retain(|name| seen.insert(name.clone()));
    Databases::Named(names)
}

/// The ARN or the name of a secret.
fn secret_id(reader: &mut Reader, name: &str) -> Option<String> {
    let expected = "the ARN or the name of a secret, as `!Ref` gives it; a dynamic reference \
                    (`{{resolve:secretsmanager:...}}`) puts the secret's text there";
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/_+=.@!:-".contains(&byte);
    reader.checked(name, |text| text.len() <= 2048 && text.bytes().all(plain), expected)
}
