//! `CloudFormation`'s bucket: who PUT what where, and what became of it.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use crate::support::wire::{Reply, Request, Server};

/// The bucket behind every `ResponseURL`.
pub struct Bucket {
    server: Server,
    boxes: Arc<Mutex<HashMap<String, Letterbox>>>,
}

#[derive(Default)]
struct Letterbox {
    /// How the next PUTs are treated; then all is well.
    faults: VecDeque<Fault>,
    puts: Vec<(Request, bool)>,
}

/// What can happen to a PUT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// S3's own failure: tried again.
    Unavailable,
    /// The connection is closed without a word: tried again.
    Cut,
    /// Forbidden, as by an endpoint policy or an expired URL: final.
    Forbidden,
}

/// A place for one answer.
#[derive(Debug, Clone)]
pub struct Address {
    /// The `ResponseURL`.
    pub url: String,
    /// Path and query, as they must come over the wire.
    pub target: String,
}

impl Bucket {
    /// An empty bucket.
    pub fn start() -> Self {
        let boxes = Arc::new(Mutex::new(HashMap::<String, Letterbox>::new()));
        let shared = Arc::clone(&boxes);
        let server = Server::start(move |request| {
            let mut boxes = shared.lock().unwrap();
            let letterbox = boxes.entry(request.target.clone()).or_default();
            let fault = letterbox.faults.pop_front();
            letterbox.puts.push((request, fault.is_none()));
            match fault {
                None => Reply::status(200, ""),
                Some(Fault::Unavailable) => Reply::status(503, "<Error><Code>SlowDown</Code>"),
                Some(Fault::Cut) => Reply::Cut,
                Some(Fault::Forbidden) => {
                    Reply::status(403, "<Error><Code>AccessDenied</Code></Error>")
                }
            }
        });
        Self { server, boxes }
    }

    /// A new pre-signed URL.
    pub fn address(&self, faults: &[Fault]) -> Address {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let target = format!("/arn%3Aaws%3Astack/app%7CExtensions?X-Amz-Signature=5f2e{count:08x}");
        let letterbox = Letterbox { faults: faults.iter().copied().collect(), puts: Vec::new() };
        self.boxes.lock().unwrap().insert(target.clone(), letterbox);
        Address { url: format!("http://127.0.0.1:{}{target}", self.server.port), target }
    }

    /// Every PUT to an address so far, and whether it was accepted.
    pub fn puts(&self, address: &Address) -> Vec<(Request, bool)> {
        self.boxes.lock().unwrap()[&address.target].puts.clone()
    }

    /// Closes all addresses: a history is over.
    pub fn clear(&self) {
        self.boxes.lock().unwrap().clear();
    }
}
