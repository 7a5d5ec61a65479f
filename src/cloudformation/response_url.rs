//! The pre-signed URL that a response is sent to.

use std::fmt::{self, Debug, Formatter};

use reqwest::Url;

use crate::redact;

/// What `CloudFormation`'s buckets for responses are called, before the region without its dashes.
const BUCKET: &str = "cloudformation-custom-resource-response-";

/// Whether a text has the form of a region, as `eu-west-1` and `us-gov-west-1` have. Names of
/// endpoints (`s3-accelerate`), where anybody could have a bucket, have not.
fn is_region(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let all = |part: &str, is: fn(&u8) -> bool| !part.is_empty() && part.bytes().all(|it| is(&it));
    match parts.as_slice() {
        [country, names @ .., number] if country.len() == 2 && !names.is_empty() => {
            let mut letters = names.iter().chain([country]);
            letters.all(|part| all(part, u8::is_ascii_lowercase)) && all(number, u8::is_ascii_digit)
        }
        _ => false,
    }
}

/// The pre-signed URL. Who holds it can respond in the function's place, so nothing prints it.
#[derive(Clone)]
pub struct ResponseUrl(Url);

/// Why a `ResponseURL` is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RefusedUrl {
    /// Not a URL at all.
    #[error("the ResponseURL is not a URL")]
    Malformed,
    /// The response and the URL would travel in the clear.
    #[error("the ResponseURL is neither https nor http to a loopback address")]
    Insecure,
}

impl ResponseUrl {
    /// Accepts `https`, and plain `http` only to a loopback address. It is hidden from now on.
    pub fn new(text: &str) -> Result<Self, RefusedUrl> {
        redact::hide(text);
        redact::hide(text.split_once('?').map_or("", |(_, query)| query));
        let url = Url::parse(text).map_err(|_| RefusedUrl::Malformed)?;
        let url = Self(url);
        match url.0.scheme() {
            "https" => Ok(url),
            "http" if url.is_loopback() => Ok(url),
            _ => Err(RefusedUrl::Insecure),
        }
    }

    /// Whether it leads to a loopback address.
    pub fn is_loopback(&self) -> bool {
        let host = self.host().trim_matches(['[', ']']);
        host == "localhost"
            || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    /// Whether it leads to `CloudFormation`'s own bucket in the region that its host names; where it
    /// names none, in `region` or in us-east-1.
    pub fn is_cloudformations(&self, region: &str) -> bool {
        let plain = self.0.port().is_none() && self.0.username().is_empty();
        let Some((bucket, rest)) = self.host().split_once('.') else { return false };
        let rest = rest.strip_suffix(".cn").unwrap_or(rest);
        let Some(service) = rest.strip_suffix(".amazonaws.com") else { return false };
        let named = ["s3.dualstack.", "s3.", "s3-"].iter().find_map(|it| service.strip_prefix(it));
        let regions = match named {
            Some(named) if is_region(named) => vec![named],
            None if service == "s3" => vec![region, "us-east-1"],
            _ => Vec::new(),
        };
        let of = |region: &&str| format!("{BUCKET}{}", region.replace('-', "")) == bucket;
        plain && self.0.scheme() == "https" && regions.iter().any(of)
    }

    /// The URL itself, for the one request that uses it.
    pub fn expose(&self) -> Url {
        self.0.clone()
    }

    /// The host alone: safe to show.
    pub fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default()
    }
}

impl Debug for ResponseUrl {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        write!(out, "ResponseUrl({}, hidden)", self.host())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tls_or_loopback_is_answered() {
        for good in [
            "https://cloudformation-custom-resource-response-useast1.s3.amazonaws.com/arn%3Aaws%7C?X-Amz=1",
            "http://127.0.0.1:9/x",
            "http://127.9.9.9:9/x",
            "http://[::1]:9/x",
            "http://localhost:9/x",
        ] {
            assert!(ResponseUrl::new(good).is_ok(), "{good}");
        }
        for bad in ["http://10.0.0.1/x", "http://localhost.example.com/x", "ftp://127.0.0.1/x"] {
            assert_eq!(ResponseUrl::new(bad).err(), Some(RefusedUrl::Insecure), "{bad}");
        }
        assert_eq!(ResponseUrl::new("no url").err(), Some(RefusedUrl::Malformed));
    }

    #[test]
    fn the_bucket_is_cloudformation_s_own() {
        let is_ours =
            |url: &str| ResponseUrl::new(url).is_ok_and(|url| url.is_cloudformations("eu-west-1"));
        for rest in [
            "useast1.s3.amazonaws.com",
            "euwest1.s3.amazonaws.com",
            "euwest1.s3-eu-west-1.amazonaws.com",
            "uswest2.s3-us-west-2.amazonaws.com",
            "eucentral1.s3.eu-central-1.amazonaws.com",
            "eucentral1.s3.dualstack.eu-central-1.amazonaws.com",
            "usgovwest1.s3.us-gov-west-1.amazonaws.com",
            "apsoutheast2.s3.ap-southeast-2.amazonaws.com:443",
            "cnnorth1.s3.cn-north-1.amazonaws.com.cn",
        ] {
            assert!(
                is_ours(&format!("https://{BUCKET}{rest}/arn%3Aaws?X-Amz-Signature=1")),
                "{rest}"
            );
            assert!(!is_ours(&format!("https://x@{BUCKET}{rest}/arn")), "{rest}");
            assert!(!is_ours(&format!("https://x{BUCKET}{rest}/arn")), "{rest}");
            assert!(!is_ours(&format!("https://x.{BUCKET}{rest}/arn")), "{rest}");
        }
        for rest in [
            "useast1.s3.evil.com",
            "useast1.s3.amazonaws.com.evil.com",
            "useast1.s3.evilamazonaws.com",
            "useast1.s3.amazonaws.com.",
            "useast1.s3.amazonaws.com.cn.cn",
            "useast1.s3.amazonaws.com:8443",
            "useast1.s3.amazonaws.com@evil.com",
            "useast1.evil.com#.s3.amazonaws.com",
            "useast1.amazonaws.com",
            "useast1.execute-api.us-east-1.amazonaws.com",
            "useast1.s3-website-us-east-1.amazonaws.com",
            "evil1.s3.amazonaws.com",
            "evil1.s3.us-east-1.amazonaws.com",
            "uswest2.s3.amazonaws.com",
            "accelerate.s3-accelerate.amazonaws.com",
            "euwest1.s3.us-west-2.amazonaws.com",
            "euwest1.x.s3.eu-west-1.amazonaws.com",
            "euwest1.s3.x.eu-west-1.amazonaws.com",
            "euwest1.s3..amazonaws.com",
            ".s3..amazonaws.com",
        ] {
            assert!(!is_ours(&format!("https://{BUCKET}{rest}/arn")), "{rest}");
        }
        assert!(!is_ours("https://s3.eu-west-1.amazonaws.com/bucket/x"));
        assert!(!is_ours("https://127.0.0.1/x") && !is_ours("http://127.0.0.1/x"));
    }

    #[test]
    fn a_url_goes_out_as_it_came() {
        let text = "https://example.com/arn%3Aaws%7Cstack|x?Signature=a%2Bb%3D&X=1%2F2";
        assert_eq!(
            ResponseUrl::new(text).map(|url| url.expose().to_string()).ok().as_deref(),
            Some(text)
        );
    }
}
