//! The PUT of a response to the `ResponseURL`, until it is accepted or time is up.

use std::time::{Duration, Instant};

use reqwest::{Client, StatusCode};

use crate::cloudformation::response_url::ResponseUrl;
use crate::deadline::Backoff;
use crate::log;
use crate::text::chain;

/// How long one PUT may take before another is tried.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a response was not delivered.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// S3 said no: final.
    #[error("{host} refused the response with HTTP status {status} ({code}): {cause}")]
    Refused {
        /// The host of the URL.
        host: String,
        /// The HTTP status.
        status: u16,
        /// S3's error code.
        code: String,
        /// What usually is behind it.
        cause: &'static str,
    },
    /// The bucket could not be reached in time.
    #[error(
        "{host} could not be reached in time: {last}; in a VPC the function needs an S3 gateway endpoint or a NAT gateway"
    )]
    Unreachable {
        /// The host of the URL.
        host: String,
        /// The last failure.
        last: String,
    },
}

/// PUTs `document`. Transport errors and 5xx are retried until `until`, other statuses are final.
///
/// # Errors
/// It was refused, or the bucket could not be reached in time.
pub async fn put(
    client: &Client,
    url: &ResponseUrl,
    document: &str,
    until: Instant,
) -> Result<(), Error> {
    let host = url.host().to_owned();
    let mut backoff = Backoff::new();
    loop {
        let limit = ATTEMPT_TIMEOUT.min(until.saturating_duration_since(Instant::now()));
        // A string as the body sends the exact length and no Content-Type, which S3's signature
        // would have to cover.
        let request = client.put(url.expose()).body(document.to_owned()).timeout(limit);
        let last = match request.send().await {
            Ok(response) if response.status().is_success() => return Ok(()),
            Ok(response) if response.status().is_server_error() => {
                format!("HTTP status {}", response.status().as_u16())
            }
            Ok(response) => {
                let status = response.status();
                let body = response.text().await.unwrap_or_default();
                return Err(Error::Refused {
                    host,
                    status: status.as_u16(),
                    code: code(&body),
                    cause: if status == StatusCode::FORBIDDEN {
                        "the URL has expired, or the policy of the VPC's S3 endpoint keeps \
                         CloudFormation's bucket out (a condition on aws:PrincipalOrgID does)"
                    } else {
                        "this status is not one that S3 gives for such a request"
                    },
                });
            }
            Err(error) => chain(&error.without_url()),
        };
        if !backoff.pause(until).await {
            return Err(Error::Unreachable { host, last });
        }
        log::warn(&format!("sending the response to {host}: {last}; trying again"));
    }
}

/// The `Code` of an error document of S3: letters only, so that nothing else gets into the log.
fn code(body: &str) -> String {
    let code = body.split("<Code>").nth(1).and_then(|rest| rest.split("</Code>").next());
    match code {
        Some(code)
            if (1..=64).contains(&code.len())
                && code.bytes().all(|b| b.is_ascii_alphanumeric()) =>
        {
            code.to_owned()
        }
        _ => "no S3 error code".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_code_is_shown() {
        assert_eq!(code("<?xml?><Error><Code>AccessDenied</Code><Message>x"), "AccessDenied");
        for other in ["", "<Code>", "<Code>a b</Code>", "<html>"] {
            assert_eq!(code(other), "no S3 error code");
        }
    }
}
