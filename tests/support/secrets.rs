//! Secrets Manager over HTTP: `GetSecretValue`, and its errors.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::{Value, json};

use super::http_server::{HttpServer, Reply, Request};

/// The account's secrets.
pub struct SecretsManager {
    server: HttpServer,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// By name and stage; the value is the member of the response that holds the secret.
    versions: BTreeMap<(String, String), (&'static str, String)>,
    /// What goes wrong first: the next answers, by name.
    faults: BTreeMap<String, VecDeque<Fault>>,
    calls: Vec<Call>,
}

/// Something that goes wrong with one call.
#[derive(Debug, Clone)]
pub enum Fault {
    /// An error of the service's, by its type.
    Error(&'static str),
    /// The connection is closed without a word.
    Cut,
    /// Nothing is ever said.
    Hang,
}

/// One `GetSecretValue` that came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The secret's name or ARN.
    pub id: String,
    /// The version's stage that was asked for, `AWSCURRENT` where none was.
    pub stage: String,
}

impl SecretsManager {
    /// An account without secrets.
    pub fn start() -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        let server = HttpServer::start(move |request| shared.lock().unwrap().answer(&request));
        Self { server, state }
    }

    /// The endpoint for `AWS_ENDPOINT_URL_SECRETS_MANAGER`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.server.port)
    }

    /// Stores text as one stage of a secret.
    pub fn put(&self, id: &str, stage: &str, text: impl Into<String>) {
        self.store(id, stage, "SecretString", text.into());
    }

    /// Stores bytes as a secret's current version.
    pub fn put_binary(&self, id: &str, bytes: &[u8]) {
        self.store(id, "AWSCURRENT", "SecretBinary", base64(bytes));
    }

    /// Takes a secret away, with all its versions.
    pub fn remove(&self, id: &str) {
        self.state().versions.retain(|(known, _), _| known != id);
    }

    /// Lets the next calls for a secret go wrong, one after the other.
    pub fn fail(&self, id: &str, faults: impl IntoIterator<Item = Fault>) {
        self.state().faults.entry(id.to_owned()).or_default().extend(faults);
    }

    /// Every call so far.
    pub fn calls(&self) -> Vec<Call> {
        self.state().calls.clone()
    }

    /// The test environment that were asked for so far, in their order.
    pub fn stages(&self) -> Vec<String> {
        self.calls().into_iter().map(|call| call.stage).collect()
    }

    fn store(&self, id: &str, stage: &str, member: &'static str, value: String) {
        self.state().versions.insert((id.to_owned(), stage.to_owned()), (member, value));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl State {
    fn answer(&mut self, request: &Request) -> Reply {
        let question: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let text = |name: &str| question[name].as_str().map(ToOwned::to_owned);
        let id = text("SecretId").unwrap_or_default();
        let stage = text("VersionStage").unwrap_or_else(|| "AWSCURRENT".to_owned());
        self.calls.push(Call { id: id.clone(), stage: stage.clone() });
        if request.header("X-Amz-Target") != Some("secretsmanager.GetSecretValue") {
            return error("UnknownOperationException");
        }
        if request.header("Authorization").is_none_or(|value| !value.contains("/secretsmanager/")) {
            return error("MissingAuthenticationToken");
        }
        match self.faults.get_mut(&id).and_then(VecDeque::pop_front) {
            Some(Fault::Error(kind)) => return error(kind),
            Some(Fault::Cut) => return Reply::Cut,
            Some(Fault::Hang) => return Reply::Hang,
            None => {}
        }
        let Some((member, value)) = self.versions.get(&(id.clone(), stage.clone())) else {
            return error("ResourceNotFoundException");
        };
        let mut answer = json!({
            "ARN": id,
            "Name": id.rsplit(':').next(),
            "VersionId": "a1b2c3d4-0000-4000-8000-000000000000",
            "VersionStages": [stage],
            "CreatedDate": 1_700_000_000.123,
        });
        answer[*member] = json!(value);
        Reply::Http(200, json_header(), answer.to_string().into())
    }
}

fn json_header() -> Vec<(&'static str, String)> {
    vec![("Content-Type", "application/x-amz-json-1.1".to_owned())]
}

fn error(kind: &str) -> Reply {
    let (status, message) = match kind {
        "ResourceNotFoundException" => {
            (400, "Secrets Manager can't find the specified secret value for staging label.")
        }
        "AccessDeniedException" => (
            400,
            "User: arn:aws:sts::123456789012:assumed-role/r/f is not authorized to perform: secretsmanager:GetSecretValue",
        ),
        "InvalidRequestException" => (
            400,
            "You can't perform this operation on the secret because it was marked for deletion.",
        ),
        "DecryptionFailure" => (
            400,
            "Secrets Manager can't decrypt the protected secret text using the provided KMS key.",
        ),
        "ThrottlingException" => (400, "Rate exceeded"),
        "InternalServiceError" => (500, "An error occurred on the server side."),
        _ => (400, "no"),
    };
    let body = json!({ "__type": kind, "Message": message, "message": message });
    let mut headers = json_header();
    headers.push(("x-amzn-ErrorType", kind.to_owned()));
    Reply::Http(status, headers, body.to_string().into())
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for at in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * at) & 63) as usize];
            text.push(if at > chunk.len() { '=' } else { char::from(digit) });
        }
    }
    text
}
