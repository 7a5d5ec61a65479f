//! A function that can be killed and frozen: one process of the built binary, with a
//! Runtime API of its own.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::lambda::Outcome;
use super::wire::{Reply, Server};

/// A running function.
pub struct Sandbox {
    child: Mutex<Child>,
    queue: Sender<(String, Vec<u8>, Instant)>,
    results: Arc<Mutex<Vec<(String, Outcome)>>>,
    log: PathBuf,
}

/// One invocation of it.
#[derive(Debug, Clone)]
pub struct Call {
    id: String,
    /// When Lambda would stop it.
    pub deadline: Instant,
}

impl Sandbox {
    /// Starts the binary in a clean environment of Lambda's variables and `more`.
    pub fn start(more: &[(&str, String)]) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("sandbox-{}-{count}", std::process::id());
        let log = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        let output = fs::File::create(&log).expect("a file");
        let (queue, waiting) = channel();
        let results = Arc::new(Mutex::new(Vec::new()));
        let (waiting, kept) = (Mutex::new(waiting), Arc::clone(&results));
        let api = Server::start(move |request| {
            let path = request.target.trim_start_matches("/2018-06-01/runtime/");
            let words: Vec<&str> = path.split('/').collect();
            let body = serde_json::from_slice(&request.body).unwrap_or(Value::Null);
            let (id, outcome) = match words[..] {
                ["invocation", "next"] => return next(&waiting),
                ["invocation", id, "response"] => (id, Ok(body)),
                ["invocation", id, "error"] => (id, Err(body)),
                _ => ("", Err(body)),
            };
            kept.lock().unwrap().push((id.to_owned(), outcome));
            Reply::status(202, r#"{"status":"OK"}"#)
        });
        let child = Command::new(env!("CARGO_BIN_EXE_cfn-postgres-extensions"))
            .env_clear()
            .envs(environment(api.port, more))
            .stdin(Stdio::null())
            .stdout(output)
            .spawn()
            .expect("the built binary starts");
        Self { child: Mutex::new(child), queue, results, log }
    }

    /// Hands over an event; `time` is what is left until Lambda would stop the function.
    pub fn send(&self, event: &Value, time: Duration) -> Call {
        static COUNT: AtomicU32 = AtomicU32::new(1);
        let id = format!("11111111-0000-4000-8000-{:012}", COUNT.fetch_add(1, Ordering::Relaxed));
        let deadline = Instant::now() + time;
        let invocation = (id.clone(), event.to_string().into_bytes(), deadline);
        self.queue.send(invocation).expect("a runtime");
        Call { id, deadline }
    }

    /// Waits for the result of an invocation, until Lambda would have stopped it.
    pub fn result(&self, call: &Call) -> Option<Outcome> {
        loop {
            let results = self.results.lock().unwrap();
            let mine: Vec<_> = results.iter().filter(|(id, _)| *id == call.id).collect();
            assert!(mine.len() < 2, "one invocation has one result: {mine:?}");
            if let Some((_, outcome)) = mine.first() {
                return Some(outcome.clone());
            }
            drop(results);
            if Instant::now() >= call.deadline {
                return None;
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.lock().unwrap().id()
    }

    /// Whether the process has ended.
    pub fn ended(&self) -> bool {
        self.child.lock().unwrap().try_wait().expect("a child").is_some()
    }

    /// Ends it as the kernel does when memory is short.
    pub fn kill(&self) {
        let mut child = self.child.lock().unwrap();
        let _ = child.kill();
        let _ = child.wait();
    }

    /// Takes its processor away, all threads at once.
    pub fn freeze(&self) {
        self.signal("-STOP");
    }

    /// Gives it back.
    pub fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill").args([name, &self.pid().to_string()]).status();
        assert!(status.expect("the command `kill`").success());
    }

    /// All that it logged so far.
    pub fn output(&self) -> String {
        fs::read_to_string(&self.log).expect("the log")
    }

    /// A number in a line of `/proc/<pid>/status`: `VmRSS` in kB, `Threads`.
    pub fn status(&self, name: &str) -> u64 {
        let text = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("a process");
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        number.unwrap_or_else(|| panic!("no {name} in {text}"))
    }

    /// How many files and sockets it has open.
    pub fn files(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid())).expect("a process").count()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.kill();
        let _ = fs::remove_file(&self.log);
    }
}

fn next(waiting: &Mutex<Receiver<(String, Vec<u8>, Instant)>>) -> Reply {
    let Ok((id, event, deadline)) = waiting.lock().unwrap().recv() else { return Reply::Cut };
    let left = deadline.saturating_duration_since(Instant::now());
    let deadline = (SystemTime::now() + left).duration_since(UNIX_EPOCH).expect("after 1970");
    let arn = "arn:aws:lambda:eu-west-1:123456789012:function:postgres-extensions";
    let headers = vec![
        ("Lambda-Runtime-Aws-Request-Id", id),
        ("Lambda-Runtime-Deadline-Ms", deadline.as_millis().to_string()),
        ("Lambda-Runtime-Invoked-Function-Arn", arn.to_owned()),
    ];
    Reply::Http(200, headers, event)
}

fn environment(api: u16, more: &[(&str, String)]) -> BTreeMap<String, String> {
    let mut all: BTreeMap<_, _> = [
        ("AWS_LAMBDA_RUNTIME_API", format!("127.0.0.1:{api}")),
        ("AWS_LAMBDA_FUNCTION_NAME", "postgres-extensions".to_owned()),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128".to_owned()),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST".to_owned()),
        ("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/postgres-extensions".to_owned()),
        ("AWS_LAMBDA_LOG_STREAM_NAME", super::lambda::LOG_STREAM.to_owned()),
        ("AWS_REGION", "eu-west-1".to_owned()),
        ("AWS_ACCESS_KEY_ID", "ASIAEXAMPLE".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", super::lambda::SECRET_ACCESS_KEY.to_owned()),
        ("AWS_SESSION_TOKEN", super::lambda::SESSION_TOKEN.to_owned()),
        ("_HANDLER", "bootstrap".to_owned()),
        ("SSL_CERT_FILE", "/dev/null".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    all.extend(more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    all
}
