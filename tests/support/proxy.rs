//! A TCP proxy that injects the faults of a network: it cuts, holds, slows or refuses connections.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU32, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How often a waiting thread looks whether it may go on.
const LOOK: Duration = Duration::from_millis(5);

/// What becomes of one connection.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Behavior {
    /// All goes through.
    Open,
    /// Accepted, and nothing is ever said.
    Silent,
    /// Reset at the client's first byte.
    Reset,
    /// Closed when the client has sent this, which is not passed on.
    CutAt(HandshakePhase),
    /// Closed after this long.
    CutAfter(Duration),
    /// Open for this long; then nothing goes through any more, and neither end is closed.
    DeadAfter(Duration),
    /// A few bytes at a time towards the client, with a pause before each.
    Slow(usize, Duration),
}

/// How far a client has come in opening a connection to PostgreSQL with TLS 1.3 and SCRAM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum HandshakePhase {
    /// Nothing was sent yet.
    Accepted,
    /// The request for TLS.
    TlsRequest,
    /// TLS has begun.
    Hello,
    /// TLS is there; the name of the database and the role.
    Startup,
    /// The proof of the password.
    Proof,
}

/// A proxy on a port of its own. Outside of the ports that others are given, so that it can be
/// closed and opened again.
pub struct Proxy {
    /// Where it listens on 127.0.0.1.
    pub port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    upstream: AtomicU16,
    listening: AtomicBool,
    listener: Mutex<Option<JoinHandle<()>>>,
    /// For the next connections, one after the other; then [`Way::Open`].
    behaviors: Mutex<VecDeque<Behavior>>,
    /// For all others.
    usual: Mutex<Behavior>,
    /// Holds what goes to the server, or to the client.
    hold: [AtomicBool; 2],
    /// How many pieces are held, by direction.
    held: [AtomicUsize; 2],
    accepted: AtomicUsize,
    live: Mutex<Vec<Arc<Link>>>,
}

/// One connection: the client's end and the server's.
struct Link {
    client: TcpStream,
    server: TcpStream,
    cut: AtomicBool,
    dead: AtomicBool,
}

/// Which way something goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the function.
    ToServer,
    /// To the function.
    ToClient,
}

impl Proxy {
    /// A proxy to a port on 127.0.0.1 that lets everything through.
    pub fn to(upstream: u16) -> Self {
        let proxy = Self::closed(upstream);
        proxy.open();
        proxy
    }

    /// A proxy that refuses all connections until it is opened.
    pub fn closed(upstream: u16) -> Self {
        let shared = Arc::new(Shared {
            upstream: AtomicU16::new(upstream),
            listening: AtomicBool::new(false),
            listener: Mutex::default(),
            behaviors: Mutex::default(),
            usual: Mutex::new(Behavior::Open),
            hold: [const { AtomicBool::new(false) }; 2],
            held: [const { AtomicUsize::new(0) }; 2],
            accepted: AtomicUsize::new(0),
            live: Mutex::default(),
        });
        Self { port: reserved_port(), shared }
    }

    /// Listens from now on.
    pub fn open(&self) {
        let listener = TcpListener::bind(("127.0.0.1", self.port)).expect("the proxy's port");
        self.shared.listening.store(true, SeqCst);
        let shared = Arc::clone(&self.shared);
        let thread = thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if !shared.listening.load(SeqCst) {
                    return;
                }
                shared.accepted.fetch_add(1, SeqCst);
                let way = shared.behaviors.lock().unwrap().pop_front();
                let way = way.unwrap_or_else(|| *shared.usual.lock().unwrap());
                let shared = Arc::clone(&shared);
                thread::spawn(move || serve(&shared, client, way));
            }
        });
        *self.shared.listener.lock().unwrap() = Some(thread);
    }

    /// Refuses connections from now on; those that are open stay.
    pub fn close(&self) {
        if self.shared.listening.swap(false, SeqCst) {
            // The listener looks up at the next connection: this one.
            let _ = TcpStream::connect(("127.0.0.1", self.port));
            // Then the port is free again.
            let thread = self.shared.listener.lock().unwrap().take();
            let _ = thread.map(JoinHandle::join);
        }
    }

    /// Another server from now on.
    pub fn set_upstream(&self, upstream: u16) {
        self.shared.upstream.store(upstream, SeqCst);
    }

    /// What becomes of the next connections, one after the other.
    pub fn next_connections(&self, behaviors: impl IntoIterator<Item = Behavior>) {
        self.shared.behaviors.lock().unwrap().extend(behaviors);
    }

    /// What becomes of all connections that have no way of their own.
    pub fn set_default(&self, way: Behavior) {
        *self.shared.usual.lock().unwrap() = way;
    }

    /// Forgets what was said of connections to come.
    pub fn reset(&self) {
        self.shared.behaviors.lock().unwrap().clear();
        self.set_default(Behavior::Open);
        self.release();
    }

    /// Holds what goes in a direction from now on, on all connections.
    pub fn hold(&self, direction: Direction) {
        self.shared.hold[direction as usize].store(true, SeqCst);
    }

    /// Holds everything, and takes no more connections any further: a network that is gone.
    pub fn block_all(&self) {
        self.hold(Direction::ToServer);
        self.hold(Direction::ToClient);
    }

    /// Passes on what was held.
    pub fn release(&self) {
        for hold in &self.shared.hold {
            hold.store(false, SeqCst);
        }
    }

    /// How many pieces are held.
    pub fn held(&self, direction: Direction) -> usize {
        self.shared.held[direction as usize].load(SeqCst)
    }

    /// How many connections have come in so far.
    pub fn accepted(&self) -> usize {
        self.shared.accepted.load(SeqCst)
    }

    /// Closes every connection; what is held is lost.
    pub fn cut(&self) {
        for link in self.shared.live.lock().unwrap().drain(..) {
            link.cut();
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.close();
        self.cut();
    }
}

impl Link {
    fn cut(&self) {
        self.cut.store(true, SeqCst);
        let _ = self.client.shutdown(Shutdown::Both);
        let _ = self.server.shutdown(Shutdown::Both);
    }
}

fn serve(shared: &Arc<Shared>, client: TcpStream, way: Behavior) {
    if way == Behavior::Reset {
        // What is closed while something is unread is reset.
        let _ = client.peek(&mut [0]);
        return;
    }
    if way == Behavior::CutAt(HandshakePhase::Accepted) {
        return;
    }
    let upstream = shared.upstream.load(SeqCst);
    let Ok(server) = TcpStream::connect(("127.0.0.1", upstream)) else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let link = Arc::new(Link {
        client,
        server,
        cut: AtomicBool::new(false),
        dead: AtomicBool::new(way == Behavior::Silent),
    });
    shared.live.lock().unwrap().push(Arc::clone(&link));
    let born = Instant::now();
    match way {
        Behavior::CutAfter(time) => later(&link, born + time, Link::cut),
        Behavior::DeadAfter(time) => {
            later(&link, born + time, |link| link.dead.store(true, SeqCst));
        }
        _ => {}
    }
    let (back, other) = (Arc::clone(shared), Arc::clone(&link));
    thread::spawn(move || copy(&back, &other, Direction::ToClient, way));
    copy(shared, &link, Direction::ToServer, way);
}

fn later(link: &Arc<Link>, at: Instant, act: impl Fn(&Link) + Send + 'static) {
    let link = Arc::clone(link);
    thread::spawn(move || {
        while Instant::now() < at && !link.cut.load(SeqCst) {
            thread::sleep(LOOK);
        }
        act(&link);
    });
}

/// Passes on what comes from one end, until either is closed.
fn copy(shared: &Shared, link: &Link, direction: Direction, way: Behavior) {
    let (mut from, mut to) = match direction {
        Direction::ToServer => (&link.client, &link.server),
        Direction::ToClient => (&link.server, &link.client),
    };
    let mut sent = Vec::new();
    let mut buffer = [0; 16 * 1024];
    while let Ok(length) = from.read(&mut buffer) {
        if length == 0 || !may_pass(shared, link, direction) {
            break;
        }
        let piece = &buffer[..length];
        let result = match (way, direction) {
            (Behavior::CutAt(phase), Direction::ToServer) => {
                sent.extend_from_slice(piece);
                if reached(&sent) >= phase {
                    break;
                }
                to.write_all(piece)
            }
            (Behavior::Slow(bytes, pause), Direction::ToClient) => {
                piece.chunks(bytes).try_for_each(|few| {
                    thread::sleep(pause);
                    to.write_all(few)
                })
            }
            _ => to.write_all(piece),
        };
        if result.is_err() {
            break;
        }
    }
    // An end that hangs up is an end for both, but not while the network is gone.
    if may_pass(shared, link, direction) {
        link.cut();
    }
    shared.live.lock().unwrap().retain(|other| !std::ptr::eq(&raw const **other, link));
}

/// Waits while the direction is held; `false` if the connection was cut meanwhile.
fn may_pass(shared: &Shared, link: &Link, direction: Direction) -> bool {
    let at = direction as usize;
    let stopped = || link.dead.load(SeqCst) || shared.hold[at].load(SeqCst);
    if stopped() {
        shared.held[at].fetch_add(1, SeqCst);
        while stopped() && !link.cut.load(SeqCst) {
            thread::sleep(LOOK);
        }
        shared.held[at].fetch_sub(1, SeqCst);
    }
    !link.cut.load(SeqCst)
}

/// How far a client has come that has sent this: the request for TLS, then TLS records of a type,
/// a version, a length and a body each.
fn reached(sent: &[u8]) -> HandshakePhase {
    if sent.len() < 8 {
        return HandshakePhase::Accepted;
    }
    let (mut hellos, mut secrets) = (0, 0);
    let mut rest = &sent[8..];
    while let [kind, _, _, high, low, body @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        hellos += usize::from(*kind == 0x16);
        secrets += usize::from(*kind == 0x17);
        rest = body.get(length..).unwrap_or_default();
    }
    // The first secret record ends the handshake; then come startup, SCRAM's first and its proof.
    match (hellos, secrets) {
        (0, _) => HandshakePhase::TlsRequest,
        (_, 0 | 1) => HandshakePhase::Hello,
        (_, 2 | 3) => HandshakePhase::Startup,
        _ => HandshakePhase::Proof,
    }
}

/// A port below those that the system gives to others.
fn reserved_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    for _ in 0..10_000 {
        let next = std::process::id().wrapping_mul(97) + NEXT.fetch_add(1, SeqCst);
        let port = 20_000 + u16::try_from(next % 10_000).expect("a small number");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no free port for a proxy");
}
