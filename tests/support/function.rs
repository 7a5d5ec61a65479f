//! The built binary as the function: one process in Lambda's environment.

use std::collections::BTreeMap;
use std::env;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::database;
use super::runtime_api::{Invocation, Outcome, RuntimeApi};

/// How long the process may take until it asks for its first event.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// A running function, killed at the end.
pub struct Function {
    /// Which of this process's functions it is.
    pub number: u32,
    child: Mutex<Child>,
    api: RuntimeApi,
    output: File,
    errors: File,
}

impl Function {
    /// Starts the binary in a clean environment: Lambda's variables, the test's CA, and `more`.
    /// An empty value takes a variable away.
    pub fn start(more: &[(&str, String)]) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let api = RuntimeApi::start();
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
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        Self { number, child: Mutex::new(child), api, output, errors }
    }

    /// Queues an event; `time` is what Lambda leaves the function for it.
    pub fn send(&self, event: &[u8], time: Duration) -> Invocation {
        static COUNT: AtomicU32 = AtomicU32::new(1);
        let id = format!("00000000-0000-4000-8000-{:012}", COUNT.fetch_add(1, Ordering::Relaxed));
        self.api.send(id, event, time)
    }

    /// Waits for the result of an invocation; `None` if it has not come when Lambda stops the
    /// function.
    #[track_caller]
    pub fn result(&self, invocation: &Invocation) -> Option<Outcome> {
        let sent = Instant::now();
        loop {
            if let Some(outcome) = self.api.result(invocation, Duration::from_millis(50)) {
                return Some(outcome);
            }
            match invocation.deadline() {
                Some(deadline) if Instant::now() >= deadline => return None,
                None if sent.elapsed() > START_TIMEOUT => {
                    panic!("the function takes no event:\n{}{}", self.output(), self.errors())
                }
                _ => assert!(
                    !self.ended(),
                    "the function has ended:\n{}{}",
                    self.output(),
                    self.errors()
                ),
            }
        }
    }

    /// Invokes the function once; the result must come before Lambda would stop it.
    #[track_caller]
    pub fn invoke(&self, event: &[u8], time: Duration) -> Outcome {
        self.result(&self.send(event, time)).unwrap_or_else(|| {
            panic!("no result within {time:?}:\n{}{}", self.output(), self.errors())
        })
    }

    /// All that the function wrote to standard output so far.
    pub fn output(&self) -> String {
        text_of(&self.output)
    }

    /// All that the function wrote to standard error so far.
    pub fn errors(&self) -> String {
        text_of(&self.errors)
    }

    /// Whether the process has ended.
    pub fn ended(&self) -> bool {
        self.child.lock().unwrap().try_wait().expect("a child").is_some()
    }

    /// Ends it as the kernel does when memory is short.
    pub fn kill(&self) {
        let mut child = self.child.lock().unwrap();
        // It may have ended by itself.
        let _ = child.kill();
        let _ = child.wait();
    }

    /// Stops the process, all threads at once.
    pub fn pause(&self) {
        self.signal("-STOP");
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill").args([name, &self.pid().to_string()]).status();
        assert!(status.expect("the command `kill`").success());
    }

    fn pid(&self) -> u32 {
        self.child.lock().unwrap().id()
    }

    /// A number in a line of `/proc/<pid>/status`: `RssAnon` in kB, `Threads`.
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

impl Drop for Function {
    fn drop(&mut self) {
        self.kill();
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
/// The function's own credentials: never in a log or a response.
pub const SECRET_ACCESS_KEY: &str = "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY";
/// The function's own session token, the same. It has all that must be encoded in a query.
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

/// A file without a name: what is written to it is there at once, and gone with the test.
fn scratch_file() -> File {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let path = format!("{}/{}-{count}", env!("CARGO_TARGET_TMPDIR"), std::process::id());
    let file = OpenOptions::new().create(true).append(true).read(true).open(&path);
    let file = file.expect("a scratch file");
    fs::remove_file(&path).expect("a scratch file");
    file
}

fn text_of(file: &File) -> String {
    let length = file.metadata().expect("a file").len();
    let mut bytes = vec![0; usize::try_from(length).expect("a short file")];
    file.read_exact_at(&mut bytes, 0).expect("a file");
    String::from_utf8(bytes).expect("UTF-8 in the log")
}
