//! What `CloudFormation` sent: the envelope, lenient, parsed first, so that there is always
//! somebody to answer.

use std::fmt::{self, Debug, Display, Formatter};

use reqwest::Url;
use serde_json::{Map, Value};

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
    pub properties: Option<Map<String, Value>>,
    /// An Update's properties before it.
    pub old_properties: Option<Map<String, Value>>,
}

impl Event {
    /// Reads an event of any shape.
    pub fn read(event: &Value) -> Self {
        let text = |name: &str| {
            event.get(name).and_then(Value::as_str).map(ToOwned::to_owned).unwrap_or_default()
        };
        let object = |name: &str| event.get(name).and_then(Value::as_object).cloned();
        Self {
            request_type: text("RequestType"),
            response_url: event
                .get("ResponseURL")
                .filter(|url| !url.is_null())
                .map(|url| ResponseUrl::new(url.as_str().unwrap_or_default())),
            stack_id: text("StackId"),
            request_id: text("RequestId"),
            logical_resource_id: text("LogicalResourceId"),
            physical_resource_id: Some(text("PhysicalResourceId")).filter(|id| !id.is_empty()),
            properties: object("ResourceProperties"),
            old_properties: object("OldResourceProperties"),
        }
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
    /// Accepts `https`, and plain `http` only to a loopback address.
    pub fn new(text: &str) -> Result<Self, RefusedUrl> {
        let url = Url::parse(text).map_err(|_| RefusedUrl::Malformed)?;
        let loopback = match url.host_str() {
            Some("localhost") => true,
            Some(host) => host
                .trim_matches(['[', ']'])
                .parse::<std::net::IpAddr>()
                .is_ok_and(|address| address.is_loopback()),
            None => false,
        };
        match url.scheme() {
            "https" => Ok(Self(url)),
            "http" if loopback => Ok(Self(url)),
            _ => Err(RefusedUrl::Insecure),
        }
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
            or(&self.request_type, "(no RequestType)"),
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
    fn a_url_goes_out_as_it_came() {
        let text = "https://example.com/arn%3Aaws%7Cstack|x?Signature=a%2Bb%3D&X=1%2F2";
        assert_eq!(
            ResponseUrl::new(text).map(|url| url.expose().to_string()).ok().as_deref(),
            Some(text)
        );
    }

    #[test]
    fn debug_hides_the_url() {
        let event =
            Event::read(&json!({ "ResponseURL": "https://example.com/p?Signature=s3cr3t" }));
        let text = format!("{event:?} {event}");
        assert!(!text.contains("s3cr3t"), "{text}");
        assert!(text.contains("example.com"), "{text}");
    }

    #[test]
    fn any_shape_is_read() {
        for odd in [
            json!(null),
            json!([]),
            json!("x"),
            json!({ "RequestType": 1, "ResourceProperties": [] }),
        ] {
            assert!(Event::read(&odd).properties.is_none());
        }
    }
}
