//! What `CloudFormation` sent: the envelope, read leniently and first, so that every event can be
//! responded to.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use serde_json::{Map, Value};

use crate::cloudformation::response_url::{RefusedUrl, ResponseUrl};
use crate::json::{self, Object};
use crate::text::shown;

/// The envelope of an event. What is missing is empty: others judge it.
#[derive(Debug)]
pub struct Event {
    /// What is asked for.
    pub request_type: RequestType,
    /// Where the response goes; `None` for a direct invocation.
    pub response_url: Option<Result<ResponseUrl, RefusedUrl>>,
    /// The stack's ARN.
    pub stack_id: String,
    /// Copied into the response. `CloudFormation` reuses it: no key to anything.
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

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestType {
    /// The resource is new.
    Create,
    /// The resource is there, and its properties may have changed.
    Update,
    /// The resource goes.
    Delete,
    /// The databases are read, and nothing is changed: direct invocations only.
    Inspect,
    /// Whatever else came.
    Unknown(String),
}

impl RequestType {
    fn new(text: String) -> Self {
        match text.as_str() {
            "Create" => Self::Create,
            "Update" => Self::Update,
            "Delete" => Self::Delete,
            "Inspect" => Self::Inspect,
            _ => Self::Unknown(text),
        }
    }

    /// Of Terraform's `tf.action`.
    fn of_terraform(action: String) -> Self {
        match action.as_str() {
            "create" => Self::Create,
            "update" => Self::Update,
            "delete" => Self::Delete,
            _ => Self::Unknown(action),
        }
    }
}

impl Display for RequestType {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create => out.write_str("Create"),
            Self::Update => out.write_str("Update"),
            Self::Delete => out.write_str("Delete"),
            Self::Inspect => out.write_str("Inspect"),
            Self::Unknown(text) => out.write_str(&shown(text)),
        }
    }
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
    /// Reads an event of any shape. Terraform's resource `aws_lambda_invocation` adds the key `tf` to
    /// the input that the configuration has, with what it does about the resource, and what the
    /// input was before.
    pub fn read(json: &str) -> Self {
        let event = Object::read(json);
        let text = |name: &str| event.text(name).unwrap_or_default();
        let properties =
            |event: &Object, name: &str| match event.get(name).map(serde_json::from_str) {
                Some(Ok(Value::Object(properties))) => Ok(Some(properties)),
                Some(Err(_)) => Err(Unreadable),
                _ => Ok(None),
            };
        let response_url = event.get("ResponseURL");
        let terraform = event.object("tf");
        let request_type = RequestType::new(text("RequestType"));
        let (request_type, old_properties) = match terraform.text("action") {
            // An Inspect changes nothing, whoever sends it.
            Some(action) if response_url.is_none() && request_type != RequestType::Inspect => (
                RequestType::of_terraform(action),
                properties(&terraform.object("prev_input"), "ResourceProperties"),
            ),
            _ => (request_type, properties(&event, "OldResourceProperties")),
        };
        Self {
            request_type,
            response_url: response_url
                .map(|url| ResponseUrl::new(&json::text(url).unwrap_or_default())),
            stack_id: text("StackId"),
            request_id: text("RequestId"),
            logical_resource_id: text("LogicalResourceId"),
            physical_resource_id: event.text("PhysicalResourceId").filter(|id| !id.is_empty()),
            properties: properties(&event, "ResourceProperties"),
            old_properties,
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

impl Display for Event {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let or = |text: &str, otherwise: &str| {
            if text.is_empty() { otherwise.to_owned() } else { text.to_owned() }
        };
        write!(
            out,
            "{} of {} in {}, request {}",
            or(&self.request_type.to_string(), "(no RequestType)"),
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
            assert_eq!((event.request_type, event.stack_id.as_str()), (RequestType::Create, ""));
            assert_eq!(event.request_id, "a\u{fffd}\u{fffd}\u{fffd}");
            assert_eq!(event.service_timeout, Some(Duration::from_secs(60)));
            assert!(event.old_properties.is_ok_and(|properties| properties.is_some()));
        }
    }

    #[test]
    fn terraform_says_what_it_does_in_a_key_of_its_own() {
        let event = |action: &str, more: &str| {
            Event::read(&format!(
                r#"{{ "RequestType": "Create", "ResourceProperties": {{ "Port": 1 }} {more},
                      "tf": {{ "action": "{action}",
                               "prev_input": {{ "ResourceProperties": {{ "Port": 2 }} }} }} }}"#
            ))
        };
        for (action, kind) in [
            ("create", RequestType::Create),
            ("update", RequestType::Update),
            ("delete", RequestType::Delete),
            ("read", RequestType::Unknown("read".to_owned())),
        ] {
            let event = event(action, "");
            assert_eq!(event.request_type, kind);
            let old = event.old_properties.ok().flatten().expect("old properties");
            assert_eq!(old["Port"], 2);
        }
        let event = event("delete", r#", "ResponseURL": "https://example.com/x""#);
        assert_eq!(event.request_type, RequestType::Create, "CloudFormation sends no such key");
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
