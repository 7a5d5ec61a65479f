//! The Lambda Runtime API, and the built binary as the function that it drives.

use std::collections::BTreeMap;
use std::env;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::database;
use super::wire::{Reply, Request, Server};

/// How long a function may be silent past its deadline before the test gives up.
const PATIENCE: Duration = Duration::from_secs(20);

/// What Lambda would hand to the function, or take from it.
struct Invocation {
    id: String,
    event: Vec<u8>,
    time: Duration,
}

/// The function's result: its response, or its error.
pub type Outcome = Result<Value, Value>;

/// A running function: one process of the built binary, killed at the end.
pub struct Function {
    child: Mutex<Child>,
    invocations: Sender<Invocation>,
    outcomes: Mutex<Receiver<Outcome>>,
    output: File,
    errors: File,
}

impl Function {
    /// Starts the binary in a clean environment: Lambda's variables, the test's CA, and `more`.
    /// An empty value takes a variable away.
    pub fn start(more: &[(&str, String)]) -> Self {
        let (invocations, queue) = channel();
        let (results, outcomes) = channel();
        let (queue, results) = (Mutex::new(queue), Mutex::new(results));
        let api = Server::start(move |request| serve(&request, &queue, &results));
        let mut environment = lambda_environment(api.port);
        for (name, value) in more {
            environment.insert((*name).to_owned(), value.clone());
        }
        environment.retain(|_, value| !value.is_empty());
        let (output, errors) = (scratch_file(), scratch_file());
        let child = program()
            .env_clear()
            .envs(environment)
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("a file"))
            .stderr(errors.try_clone().expect("a file"))
            .spawn()
            .expect("the built binary starts");
        Self {
            child: Mutex::new(child),
            invocations,
            outcomes: Mutex::new(outcomes),
            output,
            errors,
        }
    }

    /// Invokes the function once; `time` is what is left until Lambda would stop it.
    pub fn invoke(&self, event: &[u8], time: Duration) -> Outcome {
        static COUNT: AtomicU32 = AtomicU32::new(1);
        let id = format!("00000000-0000-4000-8000-{:012}", COUNT.fetch_add(1, Ordering::Relaxed));
        self.invocations.send(Invocation { id, event: event.to_vec(), time }).expect("a runtime");
        let outcomes = self.outcomes.lock().unwrap();
        let patience = (time + PATIENCE).as_millis() / 50;
        for _ in 0..patience {
            match outcomes.recv_timeout(Duration::from_millis(50)) {
                Ok(outcome) => return outcome,
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {}
            }
            if let Some(status) = self.child.lock().unwrap().try_wait().expect("a child") {
                panic!("the function ended with {status}:\n{}{}", self.output(), self.errors());
            }
        }
        panic!("the function never answered:\n{}{}", self.output(), self.errors());
    }

    /// All that the function wrote to standard output so far.
    pub fn output(&self) -> String {
        text_of(&self.output)
    }

    /// All that the function wrote to standard error so far.
    pub fn errors(&self) -> String {
        text_of(&self.errors)
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        if let Ok(child) = self.child.get_mut() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The built binary, or the command that `FUNCTION_PROGRAM` has: an emulator and a binary for another
/// processor, say.
fn program() -> Command {
    let Ok(line) = env::var("FUNCTION_PROGRAM") else {
        return Command::new(env!("CARGO_BIN_EXE_cfn-postgres-extensions"));
    };
    let mut words = line.split_whitespace();
    let mut command = Command::new(words.next().expect("a program in FUNCTION_PROGRAM"));
    command.args(words);
    command
}

fn lambda_environment(api: u16) -> BTreeMap<String, String> {
    let api = format!("127.0.0.1:{api}");
    let ca = database::server().ca.clone();
    [
        ("AWS_LAMBDA_RUNTIME_API", api.as_str()),
        ("AWS_LAMBDA_FUNCTION_NAME", "postgres-extensions"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128"),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
        ("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/postgres-extensions"),
        ("AWS_LAMBDA_LOG_STREAM_NAME", LOG_STREAM),
        ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
        ("AWS_EXECUTION_ENV", "AWS_Lambda_provided.al2023"),
        ("AWS_REGION", "eu-west-1"),
        ("AWS_DEFAULT_REGION", "eu-west-1"),
        ("AWS_ACCESS_KEY_ID", "ASIAEXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY),
        ("AWS_SESSION_TOKEN", SESSION_TOKEN),
        ("_HANDLER", "bootstrap"),
        // As template.yaml sets it.
        ("SSL_CERT_FILE", "/dev/null"),
        ("TZ", ":UTC"),
        ("LANG", "en_US.UTF-8"),
        ("PGSSLROOTCERT", ca.as_str()),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

/// The name of the function's log stream.
pub const LOG_STREAM: &str = "2026/01/31/[$LATEST]0123456789abcdef0123456789abcdef";
/// The function's own credentials: nobody may ever read them.
pub const SECRET_ACCESS_KEY: &str = "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY";
/// The function's own session token: nobody may ever read it. It has all that has to be encoded in a query.
pub const SESSION_TOKEN: &str = "IQoJb3JpZ2lu+X2Vj/EXAMPLE==";

/// Lambda's record of an event that failed.
pub fn record(event: &Value, condition: &str, response: &Value) -> Value {
    json!({
        "version": "1.0",
        "timestamp": "2026-01-31T12:00:00.000Z",
        "requestContext": {
            "requestId": "e4b46cbf-b738-xmpl-8880-a18cdf61200e",
            "functionArn": "arn:aws:lambda:eu-west-1:123456789012:function:postgres-extensions:$LATEST",
            "condition": condition,
            "approximateInvokeCount": 1,
        },
        "requestPayload": event,
        "responseContext": {
            "statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled",
        },
        "responsePayload": response,
    })
}

/// One request of the function's to the Runtime API.
fn serve(
    request: &Request,
    queue: &Mutex<Receiver<Invocation>>,
    results: &Mutex<Sender<Outcome>>,
) -> Reply {
    let path = request.target.trim_start_matches("/2018-06-01/runtime/");
    let body = || {
        serde_json::from_slice(&request.body)
            .unwrap_or_else(|_| Value::from(String::from_utf8_lossy(&request.body)))
    };
    let outcome = match (request.method.as_str(), path.rsplit('/').next()) {
        ("GET", Some("next")) => {
            let next = queue.lock().unwrap().recv();
            return next.map_or(Reply::Cut, |invocation| next_reply(&invocation));
        }
        ("POST", Some("response")) => Ok(body()),
        ("POST", Some("error")) => Err(body()),
        _ => return Reply::status(404, "no such call"),
    };
    // Nobody waits any more once the test has failed.
    let _ = results.lock().unwrap().send(outcome);
    Reply::status(202, r#"{"status":"OK"}"#)
}

fn next_reply(invocation: &Invocation) -> Reply {
    let deadline = SystemTime::now() + invocation.time;
    let deadline = deadline.duration_since(UNIX_EPOCH).expect("a time after 1970").as_millis();
    let arn = "arn:aws:lambda:eu-west-1:123456789012:function:postgres-extensions";
    Reply::Http(
        200,
        vec![
            ("Content-Type", "application/json".to_owned()),
            ("Lambda-Runtime-Aws-Request-Id", invocation.id.clone()),
            ("Lambda-Runtime-Deadline-Ms", deadline.to_string()),
            ("Lambda-Runtime-Invoked-Function-Arn", arn.to_owned()),
            ("Lambda-Runtime-Trace-Id", "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700".to_owned()),
        ],
        invocation.event.clone(),
    )
}

/// A file without a name: what is written to it is there at once, and gone with the test.
fn scratch_file() -> File {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let path = format!("{}/{}-{count}", env!("CARGO_TARGET_TMPDIR"), std::process::id());
    let file = OpenOptions::new().create(true).append(true).read(true).open(&path);
    let file = file.expect("a scratch file");
    std::fs::remove_file(&path).expect("a scratch file");
    file
}

fn text_of(file: &File) -> String {
    let length = file.metadata().expect("a file").len();
    let mut bytes = vec![0; usize::try_from(length).expect("a short file")];
    file.read_exact_at(&mut bytes, 0).expect("a file");
    String::from_utf8(bytes).expect("UTF-8 in the log")
}
