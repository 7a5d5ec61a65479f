//! Lambda's Runtime API for one function: it hands out events, and keeps the results.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::http_server::{HttpServer, Reply, Request};

/// The function's result: its response, or its error.
pub type Outcome = Result<Value, Value>;

/// The API, for as long as the process lives.
pub struct RuntimeApi {
    /// Where it listens on 127.0.0.1.
    pub port: u16,
    queue: Sender<(Invocation, Vec<u8>)>,
    results: Arc<Results>,
}

/// One invocation of the function.
#[derive(Debug, Clone)]
pub struct Invocation {
    id: String,
    time: Duration,
    /// Set when the function takes the event.
    deadline: Arc<OnceLock<Instant>>,
}

#[derive(Default)]
struct Results {
    all: Mutex<Vec<(String, Outcome)>>,
    changed: Condvar,
}

impl Invocation {
    /// When Lambda stops the function; `None` until the function has taken the event.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline.get().copied()
    }
}

impl RuntimeApi {
    /// Starts it without an event.
    pub fn start() -> Self {
        let (queue, events) = channel();
        let (events, results) = (Mutex::new(events), Arc::new(Results::default()));
        let kept = Arc::clone(&results);
        let server = HttpServer::start(move |request| serve(&request, &events, &kept));
        Self { port: server.port, queue, results }
    }

    /// Queues an event; `time` is what Lambda leaves the function for it.
    pub fn send(&self, id: String, event: &[u8], time: Duration) -> Invocation {
        let invocation = Invocation { id, time, deadline: Arc::default() };
        self.queue.send((invocation.clone(), event.to_vec())).expect("a server");
        invocation
    }

    /// The result of an invocation, if it comes within this time.
    pub fn result(&self, invocation: &Invocation, time: Duration) -> Option<Outcome> {
        let all = self.results.all.lock().unwrap();
        let missing =
            |all: &mut Vec<(String, Outcome)>| all.iter().all(|(id, _)| *id != invocation.id);
        let (all, _) = self.results.changed.wait_timeout_while(all, time, missing).unwrap();
        let mine: Vec<_> = all.iter().filter(|(id, _)| *id == invocation.id).collect();
        assert!(mine.len() < 2, "one invocation has one result: {mine:?}");
        mine.first().map(|(_, outcome)| outcome.clone())
    }
}

fn serve(
    request: &Request,
    events: &Mutex<Receiver<(Invocation, Vec<u8>)>>,
    results: &Results,
) -> Reply {
    let path = request.target.trim_start_matches("/2018-06-01/runtime/");
    let body = || {
        serde_json::from_slice(&request.body)
            .unwrap_or_else(|_| Value::from(String::from_utf8_lossy(&request.body)))
    };
    let (id, outcome) = match path.split('/').collect::<Vec<_>>()[..] {
        ["invocation", "next"] => {
            let next = events.lock().unwrap().recv();
            return next.map_or(Reply::Cut, |(invocation, event)| hand_out(&invocation, event));
        }
        ["invocation", id, "response"] => (id, Ok(body())),
        ["invocation", id, "error"] => (id, Err(body())),
        _ => return Reply::status(404, "no such call"),
    };
    results.all.lock().unwrap().push((id.to_owned(), outcome));
    results.changed.notify_all();
    Reply::status(202, r#"{"status":"OK"}"#)
}

fn hand_out(invocation: &Invocation, event: Vec<u8>) -> Reply {
    let deadline = SystemTime::now() + invocation.time;
    let milliseconds = deadline.duration_since(UNIX_EPOCH).expect("a time after 1970").as_millis();
    invocation.deadline.get_or_init(|| Instant::now() + invocation.time);
    let arn = "arn:aws:lambda:eu-west-1:123456789012:function:postgres-extensions";
    Reply::Http(
        200,
        vec![
            ("Content-Type", "application/json".to_owned()),
            ("Lambda-Runtime-Aws-Request-Id", invocation.id.clone()),
            ("Lambda-Runtime-Deadline-Ms", milliseconds.to_string()),
            ("Lambda-Runtime-Invoked-Function-Arn", arn.to_owned()),
            ("Lambda-Runtime-Trace-Id", "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700".to_owned()),
        ],
        event,
    )
}
