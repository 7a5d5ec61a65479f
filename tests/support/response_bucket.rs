//! The bucket behind every `ResponseURL`: S3's side of a pre-signed PUT.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use super::http_server::{HttpServer, Reply, Request};

/// Takes the responses, and keeps every attempt exactly as it came.
pub struct ResponseBucket {
    server: HttpServer,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    faults: VecDeque<Reply>,
    faults_of: HashMap<String, VecDeque<Reply>>,
    /// Each attempt, and whether the reply was a success.
    puts: Vec<(Request, bool)>,
}

/// A pre-signed URL.
#[derive(Debug, Clone)]
pub struct ResponseUrl {
    /// The whole of it.
    pub url: String,
    /// Path and query, as they must come over the wire.
    pub target: String,
    /// The part that is the secret.
    pub signature: String,
}

impl ResponseBucket {
    /// A bucket that accepts everything.
    pub fn start() -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        let server = HttpServer::start(move |request| {
            let mut state = shared.lock().unwrap();
            let fault = state.next_fault(&request.target);
            state.puts.push((request, fault.is_none()));
            fault.unwrap_or_else(|| Reply::status(200, ""))
        });
        Self { server, state }
    }

    /// A new URL, with all that makes S3's hard to repeat: `%3A`, `%7C`, `+`, `=` and `/`.
    pub fn url(&self) -> ResponseUrl {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let signature = format!(
            "5f2e{:08x}{:08x}c0ffee",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let target = format!(
            "/arn%3Aaws%3Acloudformation%3Aeu-west-1%3A123456789012%3Astack/app/guid%7CExtensions\
             %7Crequest?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Expires=7200\
             &X-Amz-Credential=ASIA%2F20260131%2Feu-west-1&X-Amz-Signature={signature}"
        );
        let url = format!("http://127.0.0.1:{}{target}", self.server.port);
        ResponseUrl { url, target, signature }
    }

    /// The port of all its URLs.
    pub fn port(&self) -> u16 {
        self.server.port
    }

    /// Replies like this to the next PUTs, one after the other; then accepts again.
    pub fn fail(&self, replies: impl IntoIterator<Item = Reply>) {
        self.state().faults.extend(replies);
    }

    /// Replies like this to the next PUTs for one URL.
    pub fn fail_at(&self, url: &ResponseUrl, replies: impl IntoIterator<Item = Reply>) {
        self.state().faults_of.entry(url.target.clone()).or_default().extend(replies);
    }

    /// Accepts everything again.
    pub fn recover(&self) {
        let mut state = self.state();
        state.faults.clear();
        state.faults_of.clear();
    }

    /// Every attempt so far, whatever the reply.
    pub fn puts(&self) -> Vec<Request> {
        self.state().puts.iter().map(|(request, _)| request.clone()).collect()
    }

    /// Every attempt for one URL so far.
    pub fn puts_to(&self, url: &ResponseUrl) -> Vec<Request> {
        let mut puts = self.puts();
        puts.retain(|put| put.target == url.target);
        puts
    }

    /// The attempts for one URL that were accepted.
    pub fn accepted(&self, url: &ResponseUrl) -> Vec<Request> {
        let mine = |(put, accepted): &&(Request, bool)| *accepted && put.target == url.target;
        self.state().puts.iter().filter(mine).map(|(request, _)| request.clone()).collect()
    }

    /// Forgets all attempts so far.
    pub fn clear(&self) {
        self.state().puts.clear();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl State {
    fn next_fault(&mut self, target: &str) -> Option<Reply> {
        let own = self.faults_of.get_mut(target).and_then(VecDeque::pop_front);
        own.or_else(|| self.faults.pop_front())
    }
}
