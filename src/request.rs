//! What a template asks for: which server, and the desired state.

use crate::planner::desired::Desired;
use crate::tls::SslMode;

/// A checked request: which server, and how its extensions shall be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Which server, and how to connect.
    pub connection: ConnectionProperties,
    /// What shall be there.
    pub desired: Desired,
    /// ARN or name of the secret of a database whose extensions are desired too.
    pub plugins_from: Option<String>,
    /// Plan, and prove the plan in a transaction that is rolled back.
    pub dry_run: bool,
}

/// Which server, and how to connect. What is `None` is the secret's to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionProperties {
    /// Whether it is the database of `PluginsFrom`, about which the secret alone speaks.
    pub is_reference: bool,
    /// ARN or name of the secret with the credentials; there is one unless IAM authenticates.
    pub secret: Option<String>,
    /// How the role authenticates.
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

/// How the role authenticates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authentication {
    /// By the secret's password.
    Password,
    /// By a token that the function's own credentials sign: RDS's IAM authentication.
    Iam,
}

/// The databases to install in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Databases {
    /// The one that the secret names, else `postgres`.
    OfSecret,
    /// These.
    Named(Vec<String>),
    /// Every database that allows connections and is no template.
    Every,
}

/// The longest name that DNS knows, in bytes.
const MAX_HOST: usize = 253;

/// Whether a text can be the name or the address of a server.
pub fn is_host(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte);
    text.len() <= MAX_HOST && text.bytes().all(fits)
}

/// Whether the name of a role or a database has no control characters.
pub fn is_name(name: &str) -> bool {
    !name.contains(char::is_control)
}
