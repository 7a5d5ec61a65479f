//! An address that does not respond, as where a route or a rule of a security group is missing:
//! the first packet of a connection gets no reply, not even a refusal.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::{Builder, Runtime};

/// A port of this machine that is silent.
pub struct UnreachableAddress {
    /// On 127.0.0.1.
    pub port: u16,
    /// Never accepted: they keep the queue full, and the kernel drops each further connection.
    _queue: Vec<TcpStream>,
    _listener: TcpListener,
    _runtime: Runtime,
}

impl UnreachableAddress {
    /// A listener with the shortest queue there is, and the queue full.
    pub fn new() -> Self {
        let runtime = Builder::new_current_thread().enable_io().build().expect("a runtime");
        let listener = {
            let _inside = runtime.enter();
            let socket = TcpSocket::new_v4().expect("a socket");
            socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
            socket.listen(1).expect("a listener")
        };
        let address = listener.local_addr().expect("an address");
        let mut queue = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(300)) {
            queue.push(stream);
            assert!(queue.len() < 100, "the queue is not full after 100 connections");
        }
        Self { port: address.port(), _queue: queue, _listener: listener, _runtime: runtime }
    }

    /// The URL for an HTTP client.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}
