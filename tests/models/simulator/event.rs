//! What `CloudFormation` and Lambda send.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::template::Template;
use super::world::{Place, World};
use crate::support::function;
use crate::support::response_bucket::ResponseUrl;

/// The resource's name in the template.
pub const LOGICAL_ID: &str = "Extensions";

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The resource is new.
    Create,
    /// Its properties are other ones.
    Update,
    /// It goes.
    Delete,
}

/// An event, before it is JSON.
#[derive(Debug, Clone)]
pub struct Event {
    /// What it is about.
    pub kind: Kind,
    /// The id of a resource that is there.
    pub id: String,
    /// The properties.
    pub template: Template,
    /// The properties before, of an Update.
    pub old: Option<Template>,
    /// Not unique: a retried deployment has it again.
    pub request_id: String,
}

impl Event {
    /// The databases that it may be about.
    pub fn places(&self) -> BTreeSet<Place> {
        self.old.iter().map(|old| old.place).chain([self.template.place]).collect()
    }

    /// The event as it is sent.
    pub fn payload(&self, world: &World, url: &ResponseUrl) -> Value {
        let mut event = json!({
            "RequestType": format!("{:?}", self.kind),
            "ResponseURL": url.url,
            "StackId": "arn:aws:cloudformation:eu-west-1:123456789012:stack/app/0a1b2c3d-0000",
            "RequestId": self.request_id,
            "LogicalResourceId": LOGICAL_ID,
            "ResourceType": "Custom::PostgresExtensions",
            "ResourceProperties": self.template.properties(world),
        });
        if self.kind != Kind::Create {
            event["PhysicalResourceId"] = json!(self.id);
        }
        if let Some(old) = &self.old {
            event["OldResourceProperties"] = old.properties(world);
        }
        event
    }
}

/// Why Lambda gives up on an event.
#[derive(Debug, Clone)]
pub enum End {
    /// The function was killed.
    Timeout,
    /// It was never started.
    Throttled,
    /// It returned an error.
    Error(&'static str, String),
}

/// Lambda's record of an event that failed, as the responder gets it.
pub fn record(event: &Value, end: &End) -> Value {
    let (condition, response) = match end {
        End::Timeout => (
            "RetriesExhausted",
            json!({ "errorType": "Sandbox.Timedout",
                    "errorMessage": "RequestId: 1 Error: Task timed out after 900.00 seconds" }),
        ),
        End::Throttled => ("EventAgeExceeded", Value::Null),
        End::Error(kind, message) => {
            ("RetriesExhausted", json!({ "errorType": kind, "errorMessage": message }))
        }
    };
    function::record(event, condition, &response)
}
