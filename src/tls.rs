//! TLS, and whose certificates are trusted: RDS's, Amazon's, and those that a user adds.
//!
//! The system's bundle is never trusted.

use std::path::{Path, PathBuf};

use native_tls::{Certificate, TlsConnector};

/// The roots of RDS, grouped by region.
const RDS: &str = include_str!("../certs/rds.pem");

/// The roots of Amazon Trust Services: AWS's endpoints, and RDS Proxy.
const AMAZON: &str = include_str!("../certs/amazon.pem");

/// libpq's `sslmode`, from `require` on and `disable`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SslMode {
    /// The certificate is signed by a trusted root and names the host.
    VerifyFull,
    /// The certificate is signed by a trusted root.
    VerifyCa,
    /// Encrypted, without a check of the certificate. As in libpq, a `SslRootCert` makes it [`SslMode::VerifyCa`].
    Require,
    /// In the clear.
    Disable,
}

/// The roots that are trusted beside those that are built in.
#[derive(Debug, Clone, Default)]
pub struct Roots {
    /// `AWS_CA_BUNDLE`: takes the place of Amazon's roots for AWS's endpoints and the `ResponseURL`.
    pub aws_ca_bundle: Option<PathBuf>,
    /// `PGSSLROOTCERT`: extra roots for the database.
    pub pg_ssl_root_cert: Option<PathBuf>,
    /// `AWS_REGION`: the region of the RDS roots where the host does not say.
    pub region: Option<String>,
}

/// Roots that could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file that a variable names.
    #[error("the certificates in `{}`, which `{variable}` names, cannot be read", path.display())]
    File {
        /// The variable.
        variable: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// Text that is no certificate.
    #[error("the certificates of `{origin}` are not valid PEM")]
    Pem {
        /// Where they come from.
        origin: &'static str,
    },
    /// The TLS library.
    #[error("TLS could not be set up")]
    Setup(#[source] native_tls::Error),
}

impl Roots {
    /// For AWS's endpoints and the `ResponseURL`.
    ///
    /// # Errors
    /// `AWS_CA_BUNDLE` names a file that cannot be used.
    pub fn for_aws(&self) -> Result<TlsConnector, Error> {
        let roots = match &self.aws_ca_bundle {
            Some(path) => of_file("AWS_CA_BUNDLE", path)?,
            None => amazon()?,
        };
        connector(roots, SslMode::VerifyFull)
    }

    /// For the database at `host`; `extra` is PEM text.
    ///
    /// # Errors
    /// Roots that a user named cannot be used.
    pub fn for_server(
        &self,
        host: &str,
        mode: SslMode,
        extra: Option<&str>,
    ) -> Result<TlsConnector, Error> {
        let mode = match (mode, extra) {
            (SslMode::Require, Some(_)) => SslMode::VerifyCa,
            (mode, _) => mode,
        };
        connector(self.server_roots(host, mode, extra)?, mode)
    }

    fn server_roots(
        &self,
        host: &str,
        mode: SslMode,
        extra: Option<&str>,
    ) -> Result<Vec<Certificate>, Error> {
        if !verifies(mode) {
            return Ok(Vec::new());
        }
        let mut roots = of_text("RDS", rds(region_of(host).or(self.region.as_deref())))?;
        roots.extend(of_text("SslRootCert", extra.unwrap_or_default())?);
        // Public authorities certify anybody's name: where no name is compared they prove nothing.
        if mode == SslMode::VerifyFull {
            roots.extend(amazon()?);
        }
        if let Some(path) = &self.pg_ssl_root_cert {
            roots.extend(of_file("PGSSLROOTCERT", path)?);
        }
        Ok(roots)
    }
}

/// Whether a text is one or more certificates in PEM form.
pub fn is_pem(text: &str) -> bool {
    Certificate::stack_from_pem(text.as_bytes()).is_ok_and(|certificates| !certificates.is_empty())
}

fn amazon() -> Result<Vec<Certificate>, Error> {
    of_text("Amazon Trust Services", AMAZON)
}

fn verifies(mode: SslMode) -> bool {
    matches!(mode, SslMode::VerifyFull | SslMode::VerifyCa)
}

fn connector(roots: Vec<Certificate>, mode: SslMode) -> Result<TlsConnector, Error> {
    let mut builder = TlsConnector::builder();
    builder
        .disable_built_in_roots(true)
        .danger_accept_invalid_hostnames(mode != SslMode::VerifyFull)
        .danger_accept_invalid_certs(!verifies(mode));
    for root in roots {
        builder.add_root_certificate(root);
    }
    builder.build().map_err(Error::Setup)
}

fn of_file(variable: &'static str, path: &Path) -> Result<Vec<Certificate>, Error> {
    let text = std::fs::read_to_string(path).map_err(|source| Error::File {
        variable,
        path: path.to_owned(),
        source,
    })?;
    of_text(variable, &text)
}

fn of_text(origin: &'static str, text: &str) -> Result<Vec<Certificate>, Error> {
    Certificate::stack_from_pem(text.as_bytes()).map_err(|_| Error::Pem { origin })
}

/// The region in the name of an RDS endpoint: `x.abc.eu-west-1.rds.amazonaws.com`, and in China
/// `x.abc.rds.cn-north-1.amazonaws.com.cn`.
pub fn region_of(host: &str) -> Option<&str> {
    if let Some(rest) = host.strip_suffix(".rds.amazonaws.com") {
        return rest.rsplit('.').next();
    }
    let (_, region) = host.strip_suffix(".amazonaws.com.cn")?.rsplit_once(".rds.")?;
    region.starts_with("cn-").then_some(region)
}

/// RDS's roots of one region; all of them where no region is known; none where RDS's bundle has
/// none, as for `GovCloud` and China.
fn rds(region: Option<&str>) -> &'static str {
    let Some(region) = region else { return RDS };
    let heading = format!("# {region}\n");
    let Some(start) = RDS.find(&heading) else { return "" };
    let group = &RDS[start..];
    let end = group[1..].find("# ").map_or(group.len(), |end| end + 1);
    &group[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_has_three_roots() {
        for region in ["af-south-1", "eu-west-1", "us-west-2"] {
            assert_eq!(rds(Some(region)).matches("BEGIN CERTIFICATE").count(), 3, "{region}");
            assert_eq!(of_text("RDS", rds(Some(region))).map(|roots| roots.len()).ok(), Some(3));
        }
        assert_eq!(rds(Some("us-gov-west-1")), "");
        assert_eq!(rds(None).matches("BEGIN CERTIFICATE").count(), 102);
    }

    #[test]
    fn an_endpoint_names_its_region() {
        assert_eq!(region_of("db.abc.eu-west-1.rds.amazonaws.com"), Some("eu-west-1"));
        assert_eq!(region_of("p.proxy-x.us-east-1.rds.amazonaws.com"), Some("us-east-1"));
        assert_eq!(region_of("db.abc.rds.cn-north-1.amazonaws.com.cn"), Some("cn-north-1"));
        assert_eq!(
            region_of("p.proxy-x.rds.cn-northwest-1.amazonaws.com.cn"),
            Some("cn-northwest-1")
        );
        assert_eq!(region_of("db.example.com"), None);
        assert_eq!(region_of("db.abc.rds.evil.amazonaws.com.cn"), None);
    }

    #[test]
    fn amazon_has_five_roots() {
        assert_eq!(amazon().map(|roots| roots.len()).ok(), Some(5));
    }

    #[test]
    fn no_public_authority_is_trusted_without_the_name() {
        let file = std::env::temp_dir().join(format!("public-{}.pem", std::process::id()));
        std::fs::write(&file, AMAZON).expect("a file of roots");
        let public = Roots { aws_ca_bundle: Some(file.clone()), ..Roots::default() };
        let own = Roots { pg_ssl_root_cert: Some(file.clone()), ..Roots::default() };
        let count = |roots: &Roots, mode, extra: Option<&str>| {
            let host = "db.abc.eu-west-1.rds.amazonaws.com";
            roots.server_roots(host, mode, extra).map(|roots| roots.len()).expect("all are PEM")
        };
        assert_eq!(
            count(&public, SslMode::VerifyFull, None),
            3 + 5,
            "a bundle for AWS is not for it"
        );
        assert_eq!(count(&public, SslMode::VerifyCa, None), 3);
        assert_eq!(count(&own, SslMode::VerifyCa, Some(AMAZON)), 3 + 5 + 5, "the user's own");
        std::fs::remove_file(file).expect("to take it away");
    }
}
