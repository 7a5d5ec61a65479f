//! RDS's IAM authentication: a token that the function's own credentials sign.
//!
//! It is a pre-signed URL without its scheme, good for 15 minutes:
//! <https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/UsingWithRDS.IAMDBAuth.html>

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sigv4::http_request::{
    SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign,
};
use aws_sigv4::sign::v4;
use reqwest::Url;

use crate::credentials::Password;
use crate::text::chain;
use crate::tls::region_of;

/// How long a token is good for: what RDS allows at most.
const LIFETIME: Duration = Duration::from_secs(15 * 60);

/// Signs tokens.
#[derive(Debug, Clone)]
pub struct Signer {
    /// The function's own credentials.
    pub credentials: Option<SharedCredentialsProvider>,
    /// The function's region, where the host does not name one.
    pub region: Option<String>,
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is nothing to sign with.
    #[error("the function has no AWS credentials to sign a token with: {0}")]
    NoCredentials(String),
    /// A token is signed for one region.
    #[error("no token without a region: set AWS_REGION, or use the instance's own endpoint name")]
    NoRegion,
    /// The host does not make a URL, say.
    #[error("the token cannot be signed: {0}")]
    Unsigned(String),
}

impl Signer {
    /// A token for `username` at exactly this endpoint, to be used as the password.
    ///
    /// # Errors
    /// No credentials, no region, or a host that is no name.
    pub async fn token(&self, host: &str, port: u16, username: &str) -> Result<Password, Error> {
        let Some(provider) = &self.credentials else {
            return Err(Error::NoCredentials("none are configured".to_owned()));
        };
        let credentials = provider
            .provide_credentials()
            .await
            .map_err(|error| Error::NoCredentials(chain(&error)))?;
        let region = region_of(host).or(self.region.as_deref()).ok_or(Error::NoRegion)?;
        signed(credentials, region, SystemTime::now(), host, port, username).map(Password::new)
    }
}

fn signed(
    credentials: Credentials,
    region: &str,
    now: SystemTime,
    host: &str,
    port: u16,
    username: &str,
) -> Result<String, Error> {
    let unsigned = |error: &dyn std::fmt::Display| Error::Unsigned(error.to_string());
    let mut url =
        Url::parse(&format!("https://{host}:{port}/")).map_err(|error| unsigned(&error))?;
    // Percent-encoding, and not a form's `+` for a space: SigV4's canonical form.
    url.set_query(Some(&format!("Action=connect&DBUser={}", encoded(username))));
    let mut settings = SigningSettings::default();
    settings.signature_location = SignatureLocation::QueryParams;
    settings.expires_in = Some(LIFETIME);
    let identity = credentials.into();
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name("rds-db")
        .time(now)
        .settings(settings)
        .build()
        .map_err(|error| unsigned(&error))?
        .into();
    let request =
        SignableRequest::new("GET", url.as_str(), std::iter::empty(), SignableBody::Bytes(&[]))
            .map_err(|error| unsigned(&error))?;
    let (instructions, _) =
        sign(request, &parameters).map_err(|error| unsigned(&error))?.into_parts();
    let signature = instructions.params().iter();
    let signature = signature.map(|(name, value)| format!("&{name}={}", encoded(value)));
    Ok(url.as_str().trim_start_matches("https://").to_owned() + &signature.collect::<String>())
}

/// Percent-encodes everything but RFC 3986's unreserved characters.
fn encoded(text: &str) -> String {
    use std::fmt::Write;
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
        encoded
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What botocore 1.43's `generate_db_auth_token` gave for the same, at 2026-11-21T05:10:27Z.
    const VECTOR: &str = "db.abc.eu-west-1.rds.amazonaws.com:5432/?Action=connect\
        &DBUser=app%20user%40x&X-Amz-Algorithm=AWS4-HMAC-SHA256\
        &X-Amz-Credential=AKIDEXAMPLE%2F20261121%2Feu-west-1%2Frds-db%2Faws4_request\
        &X-Amz-Date=20261121T051027Z&X-Amz-SignedHeaders=host&X-Amz-Expires=900\
        &X-Amz-Security-Token=session%2Btoken%2F%3D\
        &X-Amz-Signature=a65c598ee50ff78d31fbc220cc762d6e6cc00c55a6e26810bb79932fef2096fb";

    #[test]
    fn a_token_is_what_botocore_signs() {
        let credentials = Credentials::new(
            "AKIDEXAMPLE",
            "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
            Some("session+token/=".to_owned()),
            None,
            "test",
        );
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_237_827);
        let host = "db.abc.eu-west-1.rds.amazonaws.com";
        let token =
            signed(credentials, "eu-west-1", now, host, 5432, "app user@x").expect("signed");
        let parts = |token: &str| {
            let mut parts: Vec<String> = token.split(['?', '&']).map(ToOwned::to_owned).collect();
            parts.sort_unstable();
            parts
        };
        assert_eq!(parts(&token), parts(VECTOR));
    }
}
