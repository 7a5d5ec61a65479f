//! Answers when nobody else can: on a thread of its own, should the async side be stuck.
//!
//! A blocking call or a runtime starved of CPU must not freeze a stack for an hour.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use lambda_runtime::Diagnostic;
use native_tls::TlsConnector;
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::response::Outcome;
use crate::{http, log};

/// What is answered.
const REASON: &str = "time ran out and the function was stuck (a blocking call, or no CPU); what was \
                  being changed is rolled back when its connection closes, unless it was committed \
                  already: deploy again, with more memory if that is low";

/// Watches one request until it is dropped.
#[derive(Debug)]
pub struct Watchdog {
    _armed: Option<Sender<()>>,
}

impl Watchdog {
    /// Watches `answer`. If it is overdue and nobody has it, answers FAILED, tells Lambda, and ends
    /// the process: a stuck one is of no use to the next request.
    pub fn arm(answer: Arc<Answer>, tls: TlsConnector, invocation: String) -> Self {
        let (armed, gone) = channel::<()>();
        let watch = move || {
            let wait = answer.overdue_at().saturating_duration_since(Instant::now());
            if gone.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) && answer.claim() {
                log_aside();
                bark(&answer, tls, &invocation);
                std::process::exit(1);
            }
        };
        // Without a thread there is no watchdog, and the request itself still runs.
        let thread = thread::Builder::new().name("watchdog".to_owned()).spawn(watch);
        Self { _armed: thread.is_ok().then_some(armed) }
    }
}

/// One line, on a thread of its own, and then none: the log may be what is stuck.
fn log_aside() {
    let (said, heard) = channel();
    let line = move || {
        log::error(REASON);
        let _ = said.send(());
    };
    if thread::Builder::new().spawn(line).is_ok() {
        let _ = heard.recv_timeout(Duration::from_millis(200));
    }
    log::fall_silent();
}

fn bark(answer: &Answer, tls: TlsConnector, invocation: &str) {
    let outcome = Outcome { physical_id: answer.failed_id(), result: Err(REASON.to_owned()) };
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return;
    };
    runtime.block_on(async {
        // A client of its own: the other one's connections belong to the stuck side.
        let Ok(http) = http::client(tls) else { return };
        let result = answer.give(&http, &outcome).await;
        // Whether Lambda hears it or not, the process ends now.
        let _ = tell_lambda(&http, invocation, result).await;
    });
}

/// Ends the invocation, as the runtime would have: with the function's result or its error.
async fn tell_lambda(
    http: &reqwest::Client,
    invocation: &str,
    result: Result<Value, Diagnostic>,
) -> reqwest::Result<()> {
    let Ok(api) = std::env::var("AWS_LAMBDA_RUNTIME_API") else { return Ok(()) };
    let (end, body) = match result {
        Ok(value) => ("response", value),
        Err(Diagnostic { error_type, error_message, .. }) => {
            ("error", json!({ "errorType": error_type, "errorMessage": error_message }))
        }
    };
    let url = format!("http://{api}/2018-06-01/runtime/invocation/{invocation}/{end}");
    http.post(url).body(body.to_string()).send().await?;
    Ok(())
}
