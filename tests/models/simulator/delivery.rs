//! How an event reaches the functions, and a response `CloudFormation`.

use std::time::Duration;

use lambda_runtime::Diagnostic;
use serde_json::Value;
use serde_json::value::RawValue;

use super::event::{End, Event, record};
use super::history::History;
use super::world::{self, context};
use crate::support::http_server::Reply;
use crate::support::response::Response;
use crate::support::response_bucket::ResponseUrl;

/// The log stream of a function that is killed: its responses tell it.
const KILLED: &str = "2026/01/31/[$LATEST]fedcba9876543210fedcba9876543210";

/// What happens on the way.
#[derive(Debug, Clone, Copy)]
enum Delivery {
    /// All goes well.
    Once,
    /// The event comes again when it was answered.
    Twice,
    /// The event comes to two functions at the same time.
    AtOnce,
    /// The bucket fails at first.
    Retried(Fault),
    /// The function reaches no bucket; the responder does.
    NoRoute,
    /// The function is killed after so many microseconds, and the responder responds.
    Killed(u64),
    /// The function is killed, and Lambda tries again.
    KilledAndRetried(u64),
    /// The function is never started.
    Throttled,
    /// No response is delivered.
    Lost,
}

impl Delivery {
    fn random(rng: &mut fastrand::Rng) -> Self {
        match rng.u8(..100) {
            0..=7 => Self::Twice,
            8..=10 => Self::AtOnce,
            11 => Self::Retried(Fault::Unavailable),
            12 => Self::Retried(Fault::Cut),
            13..=15 => Self::NoRoute,
            16..=18 => Self::Killed(rng.u64(..40_000)),
            19..=20 => Self::KilledAndRetried(rng.u64(..40_000)),
            21..=23 => Self::Throttled,
            24..=25 => Self::Lost,
            _ => Self::Once,
        }
    }
}

/// What can happen to a PUT.
#[derive(Debug, Clone, Copy)]
pub enum Fault {
    /// S3's own failure: tried again.
    Unavailable,
    /// The connection is closed without a response: tried again.
    Cut,
    /// Forbidden, as by an endpoint policy or an expired URL: final.
    Forbidden,
}

impl Fault {
    fn reply(self) -> Reply {
        match self {
            Self::Unavailable => Reply::status(503, "<Error><Code>SlowDown</Code>"),
            Self::Cut => Reply::Cut,
            Self::Forbidden => Reply::status(403, "<Error><Code>AccessDenied</Code></Error>"),
        }
    }
}

/// Who made a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Author {
    /// The first function, which did the work.
    Handler,
    /// The responder, which knows nothing of the work.
    Responder,
}

/// What `CloudFormation` receives.
#[derive(Debug, Clone)]
pub enum Received {
    /// SUCCESS, with this id.
    Success(String),
    /// FAILED, with this id.
    Failed(String),
    /// Nothing, until it gives up.
    Nothing,
}

impl Received {
    fn of(response: &Response) -> Self {
        if response.status == "SUCCESS" {
            Self::Success(response.id.clone())
        } else {
            Self::Failed(response.id.clone())
        }
    }
}

impl History<'_> {
    /// Delivers an event in a random way, and checks what comes of it.
    pub fn deliver(&mut self, event: &Event) -> Received {
        let delivery = Delivery::random(&mut self.rng);
        self.note(format!("{:?} {} {delivery:?}: {:?}", event.kind, event.id, event.template));
        let received = match delivery {
            Delivery::Once => self.once(event, &[]),
            Delivery::Retried(fault) => self.once(event, &[fault]),
            Delivery::Twice => {
                let received = self.once(event, &[]);
                let again = self.once(event, &[]);
                assert_eq!(format!("{again:?}"), format!("{received:?}"), "the second delivery");
                received
            }
            // Two databases, and each may be changed by another one of the two.
            Delivery::AtOnce if event.places().len() > 1 => self.once(event, &[]),
            Delivery::AtOnce => self.at_once(event),
            Delivery::NoRoute => self.without_route(event),
            Delivery::Killed(after) => self.killed(event, Duration::from_micros(after), false),
            Delivery::KilledAndRetried(after) => {
                self.killed(event, Duration::from_micros(after), true)
            }
            Delivery::Throttled => {
                let url = self.world.bucket.url();
                let payload = event.payload(self.world, &url);
                self.check_nothing_changed(event);
                self.respond(event, &payload, &url, &End::Throttled)
            }
            Delivery::Lost => self.lost(event),
        };
        self.note(format!("  heard {received:?}"));
        self.sent.push(event.clone());
        received
    }

    /// Delivers an event to one function, whose response gets out in the end.
    pub fn once(&mut self, event: &Event, faults: &[Fault]) -> Received {
        let url = self.url(faults);
        let payload = event.payload(self.world, &url);
        let result = self.run(&payload);
        assert!(result.is_ok(), "{result:?}");
        let response = self.response(&payload, &url);
        self.check(event, &response, Author::Handler);
        Received::of(&response)
    }

    fn at_once(&mut self, event: &Event) -> Received {
        let urls = [(); 2].map(|()| self.world.bucket.url());
        let payloads = urls.each_ref().map(|url| event.payload(self.world, url));
        let [one, two] =
            payloads.each_ref().map(|it| self.world.handler.handle(raw(it), context()));
        let results = self.world.runtime.block_on(async { tokio::join!(one, two) });
        assert!(results.0.is_ok() && results.1.is_ok(), "{results:?}");
        let [one, two] = [0, 1].map(|at| self.response(&payloads[at], &urls[at]));
        assert_eq!((&one.status, &one.id), (&two.status, &two.id), "two at once");
        // The second one found nothing to do.
        let idle = one.data.get("Changed").is_some_and(|changed| changed == "false");
        let (first, second) = if idle { (two, one) } else { (one, two) };
        self.check(event, &first, Author::Handler);
        self.check(event, &second, Author::Handler);
        Received::of(&first)
    }

    /// The event, and a Delete of an invented id while it runs.
    pub fn with_delete(&mut self, event: &Event, delete: &Event) {
        self.note(format!(
            "{:?}, and {} deleted meanwhile: {:?}",
            event.kind, delete.id, event.template
        ));
        let urls = [(); 2].map(|()| self.world.bucket.url());
        let payloads = [event.payload(self.world, &urls[0]), delete.payload(self.world, &urls[1])];
        let [one, two] =
            payloads.each_ref().map(|it| self.world.handler.handle(raw(it), context()));
        let pause = Duration::from_micros(self.rng.u64(..20_000));
        let results = self.world.runtime.block_on(async {
            let two = async {
                tokio::time::sleep(pause).await;
                two.await
            };
            tokio::join!(one, two)
        });
        assert!(results.0.is_ok() && results.1.is_ok(), "{results:?}");
        let [one, two] = [0, 1].map(|at| self.response(&payloads[at], &urls[at]));
        self.check_with_delete(event, [&one, &two], delete);
    }

    fn without_route(&mut self, event: &Event) -> Received {
        let url = self.url(&[Fault::Forbidden]);
        let payload = event.payload(self.world, &url);
        let document = undelivered(self.run(&payload));
        let end = End::Error("NotDelivered", document.clone());
        let result = self.run_responder(&record(&payload, &end));
        assert!(result.is_ok(), "{result:?}");
        let response = self.response(&payload, &url);
        assert_eq!(
            response.document.to_string(),
            serde_json::from_str::<Value>(&document).expect("a document").to_string()
        );
        self.check(event, &response, Author::Handler);
        Received::of(&response)
    }

    fn killed(&mut self, event: &Event, after: Duration, retried: bool) -> Received {
        let url = self.world.bucket.url();
        let payload = event.payload(self.world, &url);
        let secrets = self.world.secrets.url();
        // A runtime of its own: nothing of the function survives its end.
        let runtime = world::runtime();
        let finished = runtime.block_on(async {
            let handler = world::handler(&secrets);
            let context = world::context_of(KILLED);
            tokio::time::timeout(after, handler.handle(raw(&payload), context)).await.is_ok()
        });
        runtime.shutdown_background();
        self.world.wait_until_all_are_gone();
        if let Some(response) = self.responses(&payload, &url).first() {
            self.check(event, response, Author::Handler);
            return Received::of(response);
        }
        assert!(!finished, "no response");
        self.check_all_or_nothing(event);
        let (author, result) = if retried {
            (Author::Handler, self.run(&payload))
        } else {
            (Author::Responder, self.run_responder(&record(&payload, &End::Timeout)))
        };
        assert!(result.is_ok(), "{result:?}");
        // A response may have been on its way when the function was killed, and come before the
        // other one or after it. The first counts.
        let responses = self.responses(&payload, &url);
        let late = |response: &&Response| response.reason.contains(KILLED);
        let others: Vec<_> = responses.iter().filter(|response| !late(response)).collect();
        assert!(others.len() == 1 && responses.len() <= 2, "{responses:?}");
        self.check(event, others[0], author);
        Received::of(&responses[0])
    }

    fn lost(&mut self, event: &Event) -> Received {
        let url = self.url(&[Fault::Forbidden, Fault::Forbidden]);
        let payload = event.payload(self.world, &url);
        let document = undelivered(self.run(&payload));
        let response = Response::read(&payload, document.as_bytes(), Ok(Value::Null));
        self.check(event, &response, Author::Handler);
        let end = End::Error("NotDelivered", document.clone());
        assert_eq!(undelivered(self.run_responder(&record(&payload, &end))), document);
        assert_eq!(self.world.bucket.puts_to(&url).len(), 2, "403 is final");
        Received::Nothing
    }

    /// A new `ResponseURL` whose first PUTs meet these faults.
    fn url(&self, faults: &[Fault]) -> ResponseUrl {
        let url = self.world.bucket.url();
        self.world.bucket.fail_at(&url, faults.iter().map(|fault| fault.reply()));
        url
    }

    /// The responder responds for the function.
    fn respond(
        &mut self,
        event: &Event,
        payload: &Value,
        url: &ResponseUrl,
        end: &End,
    ) -> Received {
        let result = self.run_responder(&record(payload, end));
        assert!(result.is_ok(), "{result:?}");
        let response = self.response(payload, url);
        self.check(event, &response, Author::Responder);
        Received::of(&response)
    }

    fn run(&self, payload: &Value) -> Result<Value, Diagnostic> {
        self.world.runtime.block_on(self.world.handler.handle(raw(payload), context()))
    }

    fn run_responder(&self, record: &Value) -> Result<Value, Diagnostic> {
        self.world.runtime.block_on(self.world.responder.handle(raw(record), context()))
    }

    /// The one response at a URL.
    fn response(&self, payload: &Value, url: &ResponseUrl) -> Response {
        let mut responses = self.responses(payload, url);
        assert_eq!(responses.len(), 1, "exactly one response: {responses:#?}");
        for put in self.world.bucket.puts_to(url) {
            let said: Value = serde_json::from_slice(&put.body).expect("a JSON document");
            assert_eq!(said, responses[0].document, "every attempt says the same");
        }
        responses.remove(0)
    }

    /// The responses that the bucket took.
    fn responses(&self, payload: &Value, url: &ResponseUrl) -> Vec<Response> {
        let read = |put| Response::of_put(payload, put, &url.target, &Ok(Value::Null));
        self.world.bucket.accepted(url).iter().map(read).collect()
    }
}

/// As Lambda hands it over.
fn raw(payload: &Value) -> Box<RawValue> {
    serde_json::value::to_raw_value(payload).expect("JSON")
}

/// The document that a function could not deliver.
#[track_caller]
fn undelivered(result: Result<Value, Diagnostic>) -> String {
    let error = result.expect_err("the response was not accepted");
    assert_eq!(error.error_type, "NotDelivered");
    error.error_message
}
