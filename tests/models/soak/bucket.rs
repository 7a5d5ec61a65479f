//! The bucket of the answers: it knows which PUT it took.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::support::wire::{Reply, Server};

/// Takes answers, if it is well.
pub struct Bucket {
    /// Where it listens.
    pub port: u16,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    faults: VecDeque<Reply>,
    puts: Vec<Put>,
}

/// One attempt to give an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Put {
    /// Path and query.
    pub target: String,
    /// The document.
    pub body: Vec<u8>,
    /// Whether it was told that it is taken.
    pub taken: bool,
}

impl Bucket {
    /// An empty bucket.
    pub fn start() -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        let server = Server::start(move |request| {
            let mut state = shared.lock().unwrap();
            let fault = state.faults.pop_front();
            let taken = fault.is_none();
            state.puts.push(Put { target: request.target, body: request.body, taken });
            fault.unwrap_or_else(|| Reply::status(200, ""))
        });
        Self { port: server.port, state }
    }

    /// Treats the next PUTs like this.
    pub fn fail(&self, replies: impl IntoIterator<Item = Reply>) {
        self.state().faults.extend(replies);
    }

    /// Is well again.
    pub fn recover(&self) {
        self.state().faults.clear();
    }

    /// All attempts for one URL; they are forgotten then.
    pub fn puts(&self, target: &str) -> Vec<Put> {
        let mut state = self.state();
        let all = std::mem::take(&mut state.puts);
        let (mine, others): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|put| put.target == target);
        assert!(others.is_empty(), "nobody else was answered: {others:?}");
        mine
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}
