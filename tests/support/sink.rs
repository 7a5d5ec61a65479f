//! The `ResponseURL`: S3's side of a pre-signed PUT.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use super::wire::{Reply, Request, Server};

/// Takes the answers, and keeps every attempt exactly as it came.
pub struct Sink {
    server: Server,
    puts: Arc<Mutex<Vec<Request>>>,
    faults: Arc<Mutex<VecDeque<Reply>>>,
}

/// A pre-signed URL that the test handed out.
#[derive(Debug, Clone)]
pub struct SignedUrl {
    /// The whole of it.
    pub url: String,
    /// Path and query, as they must come over the wire.
    pub target: String,
    /// The part that is the secret.
    pub signature: String,
}

impl Sink {
    /// A bucket that accepts everything.
    pub fn start() -> Self {
        let puts = Arc::new(Mutex::new(Vec::new()));
        let faults = Arc::new(Mutex::new(VecDeque::new()));
        let (kept, next) = (Arc::clone(&puts), Arc::clone(&faults));
        let server = Server::start(move |request| {
            kept.lock().unwrap().push(request);
            next.lock().unwrap().pop_front().unwrap_or_else(|| Reply::status(200, ""))
        });
        Self { server, puts, faults }
    }

    /// A new URL, with all that makes S3's hard to repeat: `%3A`, `%7C`, `+`, `=` and `/`.
    pub fn url(&self) -> SignedUrl {
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
        SignedUrl { url, target, signature }
    }

    /// Treats the next PUTs like this, one after the other; then all is well again.
    pub fn fail(&self, replies: impl IntoIterator<Item = Reply>) {
        self.faults.lock().unwrap().extend(replies);
    }

    /// Every request so far, whatever was answered.
    pub fn puts(&self) -> Vec<Request> {
        self.puts.lock().unwrap().clone()
    }
}
