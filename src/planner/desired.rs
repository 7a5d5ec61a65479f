//! The desired state of a database's extensions.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display, Formatter};

use crate::planner::removal::ownership::Claimants;

/// The extensions that shall be there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Desired {
    /// By the template's own spelling of the name.
    pub extensions: BTreeMap<String, DesiredExtension>,
    /// The key `'*'`.
    pub unnamed: Option<Unnamed>,
    /// What to do about a version that no update path reaches.
    pub downgrade: DowngradePolicy,
    /// What becomes of what is not listed any more.
    pub removal: RemovalPolicy,
    /// Who lists them.
    pub claimants: Claimants,
    /// What may be dropped: what these names, which the request before listed, mean, and what that
    /// requires. `None` is all that is claimed.
    pub earlier: Option<BTreeSet<String>>,
}

/// One entry of `PluginsMap`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DesiredExtension {
    /// Which version.
    pub version: DesiredVersion,
    /// Where its objects go, if the template says.
    pub schema: Option<String>,
}

/// The version that an entry asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DesiredVersion {
    /// Whatever is there, else the server's default.
    Any,
    /// The server's default.
    Latest,
    /// This one. A version is opaque: `0`, `1.4-1` and `v4` exist.
    Exact(String),
    /// Any release that starts like this: `3.4.` of `3.4.*`.
    StartsWith(String),
    /// The extension shall not be there, whoever created it.
    Absent,
}

/// What the key `'*'` asks for: every extension that is installed and that the map does not name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unnamed {
    /// Each stays as it is, and `Data` lists it.
    Any,
    /// Each is updated to the server's default version, where that can be reached.
    Latest,
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

impl Display for DesiredVersion {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => out.write_str("any"),
            Self::Latest => out.write_str("latest"),
            Self::Exact(version) => out.write_str(version),
            Self::StartsWith(start) => write!(out, "{start}*"),
            Self::Absent => out.write_str("absent"),
        }
    }
}
