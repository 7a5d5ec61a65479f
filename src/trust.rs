//! Whom we believe: the authorities of RDS and Amazon, and those a user adds.
//!
//! The system's bundle is never read: parsing it costs more than everything else at start.

use std::path::{Path, PathBuf};

use native_tls::{Certificate, TlsConnector};

use crate::request::SslMode;

/// The roots of RDS, grouped by region.
const RDS: &str = include_str!("../certs/rds.pem");

/// The roots of Amazon Trust Services: AWS's endpoints, and RDS Proxy.
const AMAZON: &str = include_str!("../certs/amazon.pem");

/// What the environment says about trust.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    /// `SSL_CERT_FILE`: takes the place of Amazon's roots, and is trusted for the database too.
    pub ssl_cert_file: Option<PathBuf>,
    /// `PGSSLROOTCERT`: extra roots for the database.
    pub pg_ssl_root_cert: Option<PathBuf>,
    /// `AWS_REGION`: whose RDS roots are read when the host does not say.
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

impl Trust {
    /// For AWS's endpoints and the `ResponseURL`.
    ///
    /// # Errors
    /// `SSL_CERT_FILE` names a file that cannot be used.
    pub fn for_aws(&self) -> Result<TlsConnector, Error> {
        let roots = match &self.ssl_cert_file {
            Some(path) => of_file("SSL_CERT_FILE", path)?,
            None => of_text("Amazon Trust Services", AMAZON)?,
        };
        connector(roots, SslMode::VerifyFull)
    }

    /// For the database at `host`.
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
        let mut roots = Vec::new();
        if matches!(mode, SslMode::VerifyFull | SslMode::VerifyCa) {
            let region = region_of(host).or(self.region.as_deref());
            roots.extend(of_text("RDS", rds(region))?);
            roots.extend(of_text("Amazon Trust Services", AMAZON)?);
            roots.extend(of_text("SslRootCert", extra.unwrap_or_default())?);
            if let Some(path) = &self.ssl_cert_file {
                roots.extend(of_file("SSL_CERT_FILE", path)?);
            }
            if let Some(path) = &self.pg_ssl_root_cert {
                roots.extend(of_file("PGSSLROOTCERT", path)?);
            }
        }
        connector(roots, mode)
    }
}

fn connector(roots: Vec<Certificate>, mode: SslMode) -> Result<TlsConnector, Error> {
    let mut builder = TlsConnector::builder();
    builder
        .disable_built_in_roots(true)
        .danger_accept_invalid_hostnames(mode != SslMode::VerifyFull)
        .danger_accept_invalid_certs(!matches!(mode, SslMode::VerifyFull | SslMode::VerifyCa));
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

/// The region in the name of an RDS endpoint: `x.abc.eu-west-1.rds.amazonaws.com`.
pub(crate) fn region_of(host: &str) -> Option<&str> {
    host.strip_suffix(".rds.amazonaws.com")?.rsplit('.').next()
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
        assert_eq!(region_of("db.example.com"), None);
    }

    #[test]
    fn amazon_has_five_roots() {
        assert_eq!(of_text("Amazon", AMAZON).map(|roots| roots.len()).ok(), Some(5));
    }
}
