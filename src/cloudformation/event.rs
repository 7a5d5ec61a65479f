//! What `CloudFormation` sent: the envelope, lenient, parsed first, so that there is always
//! somebody to answer.

use std::fmt::{self, Debug, Display, Formatter};
use std::time::Duration;

use reqwest::Url;
use serde_json::{Map, Value};

use crate::json::{self, Object};
use crate::redact;
use crate::text::shown;

/// The envelope of an event. What is missing is empty: judging it is `request`'s work.
#[derive(Debug)]
pub struct Event {
    /// `Create`, `Update` or `Delete`; whatever else came.
    pub request_type: String,
    /// Where to answer; `None` for a direct invocation.
    pub response_url: Option<Result<ResponseUrl, RefusedUrl>>,
    /// The stack's ARN.
    pub stack_id: String,
    /// Copied into the answer. `CloudFormation` reuses it: no key to anything.
    pub request_id: String,
    /// The resource's name in the template.
    pub logical_resource_id: String,
    /// The id that an Update or a Delete is about.
    pub physical_resource_id: Option<String>,
    /// The properties, unjudged; `None` where there is no such object.
    pub properties: Result<Option<Properties>, Unreadable>,
    /// An Update's properties before it.
    pub old_properties: Result<Option<Properties>, Unreadable>,
    /// `ServiceTimeout`, if it is there and makes sense: time is counted before properties are
    /// judged.
    pub service_timeout: Option<Duration>,
}

/// `ResourceProperties`, or `OldResourceProperties`.
pub type Properties = Map<String, Value>;

/// Properties that are JSON, and cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the properties cannot be read: they are nested too deep, or hold a number out of range or half \
     a surrogate pair"
)]
pub struct Unreadable;

impl Event {
    /// Reads an event of any shape.
    pub fn read(json: &str) -> Self {
        let event = Object::read(json);
        let text = |name: &str| event.text(name).unwrap_or_default();
        let properties = |name: &str| match event.get(name).map(serde_json::from_str) {
            Some(Ok(Value::Object(properties))) => Ok(Some(properties)),
            Some(Err(_)) => Err(Unreadable),
            _ => Ok(None),
        };
        Self {
            request_type: text("RequestType"),
            response_url: event
                .get("ResponseURL")
                .map(|url| ResponseUrl::new(&json::text(url).unwrap_or_default())),
            stack_id: text("StackId"),
            request_id: text("RequestId"),
            logical_resource_id: text("LogicalResourceId"),
            physical_resource_id: event.text("PhysicalResourceId").filter(|id| !id.is_empty()),
            properties: properties("ResourceProperties"),
            old_properties: properties("OldResourceProperties"),
            service_timeout: service_timeout(&event.object("ResourceProperties")),
        }
    }
}

fn service_timeout(properties: &Object) -> Option<Duration> {
    let json = properties.get("ServiceTimeout")?;
    let seconds = json::text(json).unwrap_or_else(|| json.to_owned()).trim().parse().ok()?;
    // Out of range it is refused later, and there must be time to say so.
    (1..=3600).contains(&seconds).then(|| Duration::from_secs(seconds))
}

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

/// The pre-signed URL. Who holds it can answer for us, so nothing prints it.
#[derive(Clone)]
pub struct ResponseUrl(Url);

/// Why a `ResponseURL` is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RefusedUrl {
    /// Not a URL at all.
    #[error("the ResponseURL is not a URL")]
    Malformed,
    /// The answer and the URL would travel in the clear.
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

impl Display for Event {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let or = |text: &str, otherwise: &'static str| {
            if text.is_empty() { otherwise.to_owned() } else { text.to_owned() }
        };
        write!(
            out,
            "{} of {} in {}, request {}",
            or(&shown(&self.request_type), "(no RequestType)"),
            or(&self.logical_resource_id, "(no LogicalResourceId)"),
            or(&self.stack_id, "no stack"),
            or(&self.request_id, "(no RequestId)"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

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

    #[test]
    fn debug_hides_the_url() {
        let event = Event::read(r#"{ "ResponseURL": "https://example.com/p?Signature=s3cr3t" }"#);
        let text = format!("{event:?} {event}");
        assert!(!text.contains("s3cr3t"), "{text}");
        assert!(text.contains("example.com"), "{text}");
    }

    #[test]
    fn what_cannot_be_read_hides_nothing_else() {
        let event = |odd: &str| {
            Event::read(&format!(
                r#"{{ "RequestType": "Create", "RequestId": "a\udc00", "Odd\ud800": {odd},
                      "OldResourceProperties": {{ "x": "y" }},
                      "ResourceProperties": {{ "ServiceTimeout": "60", "Trigger": {odd} }} }}"#
            ))
        };
        for odd in [&"[".repeat(200), r#""\ud800""#, r#"{ "\udfff": 1 }"#, "1e999"] {
            let event = event(&format!("{odd}{}", "]".repeat(odd.matches('[').count())));
            assert_eq!(event.properties, Err(Unreadable), "{odd}");
            assert_eq!((event.request_type.as_str(), event.stack_id.as_str()), ("Create", ""));
            assert_eq!(event.request_id, "a\u{fffd}\u{fffd}\u{fffd}");
            assert_eq!(event.service_timeout, Some(Duration::from_secs(60)));
            assert!(event.old_properties.is_ok_and(|properties| properties.is_some()));
        }
    }

    #[test]
    fn any_shape_is_read() {
        for odd in [
            json!(null),
            json!([]),
            json!("x"),
            json!({ "RequestType": 1, "ResourceProperties": [] }),
        ] {
            assert_eq!(Event::read(&odd.to_string()).properties, Ok(None), "{odd}");
        }
    }
}
