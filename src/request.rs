//! What the template asks for: the place and the desired state, strict, all problems at once.
//!
//! After this room nobody knows the words Create, Update and Delete.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display, Formatter};

use crate::planner::removal::ownership::Whose;

/// How many problems are looked for, and told in one message.
pub const MOST_PROBLEMS: usize = 100;

/// A checked request: which server, and how its extensions shall be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Which server, and how to get in.
    pub place: Place,
    /// What shall be there.
    pub wanted: Wanted,
    /// ARN or name of the secret of a database whose extensions are wanted too.
    pub plugins_from: Option<String>,
    /// Plan and rehearse, but change nothing.
    pub dry_run: bool,
    /// The databases of the request before, where claims of it may be.
    pub earlier: Option<Databases>,
}

/// Which server, and how to get in. What is `None` is the secret's to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Whether it is the database of `PluginsFrom`, about which the secret alone speaks.
    pub is_reference: bool,
    /// ARN or name of the secret with the credentials; there is one unless IAM vouches for us.
    pub secret: Option<String>,
    /// What the server is shown.
    pub authentication: Authentication,
    /// The server's name or address.
    pub host: Option<String>,
    /// The server's TCP port.
    pub port: Option<u16>,
    /// The role to log in as.
    pub username: Option<String>,
    /// The databases to install in.
    pub databases: Databases,
    /// How the server proves who it is.
    pub ssl_mode: SslMode,
    /// Extra roots to trust, as PEM text.
    pub ssl_root_cert: Option<String>,
}

/// What the server is shown to let us in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authentication {
    /// The secret's password.
    Password,
    /// A token that the function's own credentials sign: RDS's IAM authentication.
    Iam,
}

/// The databases to install in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Databases {
    /// The one that the secret names, else `postgres`.
    TheSecrets,
    /// These.
    Named(Vec<String>),
    /// Every database that allows connections and is no template.
    Every,
}

/// libpq's `sslmode`, from `require` on and `disable`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SslMode {
    /// The certificate is signed by a trusted root and names the host.
    VerifyFull,
    /// The certificate is signed by a trusted root.
    VerifyCa,
    /// Encrypted, to whoever answers. As in libpq, a `SslRootCert` makes it [`SslMode::VerifyCa`].
    Require,
    /// In the clear.
    Disable,
}

/// The extensions that shall be there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wanted {
    /// By the template's own spelling of the name.
    pub extensions: BTreeMap<String, WantedExtension>,
    /// What to do about a version that no update path reaches.
    pub downgrade: DowngradePolicy,
    /// What becomes of what is not listed any more.
    pub removal: RemovalPolicy,
    /// Who lists them.
    pub whose: Whose,
    /// What may be dropped: what these name, which the request before listed, and what they
    /// require. `None` is all that is claimed.
    pub earlier: Option<BTreeSet<String>>,
}

/// One entry of `PluginsMap`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedExtension {
    /// Which version.
    pub version: WantedVersion,
    /// Where its objects go, if the template says.
    pub schema: Option<String>,
}

/// The version that an entry asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WantedVersion {
    /// Whatever is there, else the server's default.
    Any,
    /// The server's default.
    Latest,
    /// This one. A version is opaque: `0`, `1.4-1` and `v4` exist.
    Exact(String),
    /// Any release that starts like this: `3.4.` of `3.4.*`.
    StartsWith(String),
}

/// What to do about an exact version that the server knows and no update path reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DowngradePolicy {
    /// Fail.
    #[default]
    Fail,
    /// Keep what is installed, and say so.
    Keep,
}

/// What becomes of an extension that the resource created and does not list any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RemovalPolicy {
    /// It stays.
    #[default]
    Retain,
    /// It is dropped, unless something depends on it or rows of the user's are in it.
    Drop,
    /// It is dropped, and what depends on it too.
    DropCascade,
}

impl Display for WantedVersion {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => out.write_str("any"),
            Self::Latest => out.write_str("latest"),
            Self::Exact(version) => out.write_str(version),
            Self::StartsWith(start) => write!(out, "{start}*"),
        }
    }
}

/// One thing that is wrong with the properties.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The event has no properties.
    #[error("the event has no `ResourceProperties` object")]
    NoProperties,
    /// A property that must be there is not.
    #[error("`{0}` is missing: {1}")]
    Missing(&'static str, &'static str),
    /// A name that the contract does not have.
    #[error("unknown property `{name}`{suggestion}")]
    UnknownProperty {
        /// As the template has it.
        name: String,
        /// `; did you mean ...?`, or nothing.
        suggestion: String,
    },
    /// A value of the wrong type or form.
    #[error("`{name}` must be {expected}")]
    Malformed {
        /// The property, or the entry of the map.
        name: String,
        /// What it must be.
        expected: &'static str,
    },
    /// A word that is not one of those allowed.
    #[error("`{name}` is `{value}`: use {allowed}{suggestion}")]
    NotAllowed {
        /// The property.
        name: &'static str,
        /// As the template has it.
        value: String,
        /// Those allowed.
        allowed: String,
        /// `; did you mean ...?`, or nothing.
        suggestion: String,
    },
    /// RDS takes a token over TLS only.
    #[error("`Authentication: IAM` needs TLS: leave `SslMode: disable` out")]
    NeedsTls,
    /// Nothing could be bound to a server of the template's choice.
    #[error(
        "`SslMode: disable` does not go with `Host` or `Port`: a password that goes where the \
         template says needs TLS; leave `SslMode` out, or put host and port into the secret"
    )]
    InTheClear,
    /// A number where a version must be.
    #[error(
        "the version of `{0}` is a number, which has lost its zeros (`1.10` became `1.1`): put it in quotes"
    )]
    NumericVersion(String),
    /// A bare `*`.
    #[error(
        "the version of `{0}` is `*`, which says too little: use `any` (what is there, else the default) or `latest`"
    )]
    BareStar(String),
    /// A `*` that is not at the end.
    #[error("the version of `{0}` is `{1}`: a `*` may stand at the end only, as in `3.4.*`")]
    MisplacedStar(String, String),
    /// A key beside `Version` and `Schema`.
    #[error("unknown key `{key}` in `PluginsMap.{extension}`{suggestion}")]
    UnknownKey {
        /// The entry.
        extension: String,
        /// As the template has it.
        key: String,
        /// `; did you mean ...?`, or nothing.
        suggestion: String,
    },
    /// The server would cut a longer name.
    #[error("the schema of `{0}` has a name of {1} bytes: PostgreSQL allows 63, please shorten it")]
    LongSchema(String, usize),
    /// The server's own names.
    #[error(
        "the schema of `{0}` is `{1}`: PostgreSQL keeps names that start with `pg_` for itself"
    )]
    ReservedSchema(String, String),
}
