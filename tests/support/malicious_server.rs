//! A server that wants a password: it has a certificate, speaks the startup protocol, asks for the
//! password in its own way, and keeps every byte that it gets. A client that responds is
//! forwarded to the real PostgreSQL.

use std::io::Result;
use std::sync::{Arc, Mutex};
use std::thread;

use native_tls::TlsConnector;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy, split};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::runtime::Builder;
use tokio_native_tls::TlsAcceptor;

use super::database::server;
use super::iam_endpoint::{TLS_PLEASE, acceptor, certificate, message, startup};

/// How the password is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asks {
    /// In clear text.
    ClearText,
    /// Hashed by MD5.
    Md5,
    /// By SCRAM, without channel binding.
    Unbound,
    /// Not at all: every client is accepted.
    Nothing,
    /// As the real server does, to which all is passed on over TLS.
    AsTheServer,
}

/// The server, for as long as the process lives.
pub struct MaliciousServer {
    /// Where it listens on 127.0.0.1.
    pub port: u16,
    /// Who signed its certificate, as PEM text.
    pub ca: String,
    heard: Arc<Mutex<Vec<Heard>>>,
}

/// What one client sent.
#[derive(Debug, Clone, Default)]
pub struct Heard {
    /// Its startup message.
    pub startup: Vec<u8>,
    /// All that came after it.
    pub then: Vec<u8>,
}

impl MaliciousServer {
    /// Starts one that asks like this.
    pub fn start(asks: Asks) -> Self {
        let (tls, ca) = acceptor(&certificate());
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        listener.set_nonblocking(true).expect("a socket");
        let port = listener.local_addr().expect("an address").port();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&heard);
        thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async move {
                let listener = TcpListener::from_std(listener).expect("a socket");
                while let Ok((stream, _)) = listener.accept().await {
                    let (tls, kept) = (tls.clone(), Arc::clone(&kept));
                    // A client may close the connection early.
                    tokio::spawn(async move { drop(receive(stream, &tls, asks, &kept).await) });
                }
            });
        });
        Self { port, ca, heard }
    }

    /// What every client sent so far.
    pub fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }
}

async fn receive(
    mut stream: TcpStream,
    tls: &TlsAcceptor,
    asks: Asks,
    kept: &Mutex<Vec<Heard>>,
) -> Result<()> {
    let (code, packet) = startup(&mut stream).await?;
    if code != TLS_PLEASE {
        return talk(stream, packet, asks, kept).await;
    }
    stream.write_all(b"S").await?;
    let mut stream = tls.accept(stream).await.map_err(std::io::Error::other)?;
    let (_, packet) = startup(&mut stream).await?;
    talk(stream, packet, asks, kept).await
}

/// Asks, and listens until the client hangs up.
async fn talk(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    startup: Vec<u8>,
    asks: Asks,
    kept: &Mutex<Vec<Heard>>,
) -> Result<()> {
    let at = {
        let mut kept = kept.lock().unwrap();
        kept.push(Heard { startup: startup.clone(), then: Vec::new() });
        kept.len() - 1
    };
    let hear = |bytes: &[u8]| kept.lock().unwrap()[at].then.extend_from_slice(bytes);
    let question = match asks {
        Asks::ClearText => Some(message(b'R', &3_u32.to_be_bytes())),
        Asks::Md5 => Some(message(b'R', b"\0\0\0\x05salt")),
        Asks::Unbound => Some(message(b'R', b"\0\0\0\x0aSCRAM-SHA-256\0\0")),
        Asks::Nothing | Asks::AsTheServer => None,
    };
    if let Some(question) = question {
        stream.write_all(&question).await?;
        let mut response = vec![0; 4096];
        let length = stream.read(&mut response).await?;
        hear(&response[..length]);
        if length == 0 || asks == Asks::Unbound {
            return Ok(());
        }
    }
    if asks == Asks::AsTheServer {
        let mut real = TcpStream::connect((server().host.as_str(), server().port)).await?;
        real.write_all(&[&8_u32.to_be_bytes(), TLS_PLEASE.to_be_bytes().as_slice()].concat())
            .await?;
        assert_eq!(real.read_u8().await?, b'S');
        let tls = TlsConnector::builder().danger_accept_invalid_certs(true).build();
        let tls = tokio_native_tls::TlsConnector::from(tls.expect("TLS"));
        let real = tls.connect("localhost", real).await.map_err(std::io::Error::other)?;
        lead_on(stream, real, &startup, hear).await
    } else {
        let real = UnixStream::connect(server().socket()).await?;
        lead_on(stream, real, &startup, hear).await
    }
}

async fn lead_on(
    client: impl AsyncRead + AsyncWrite + Unpin,
    real: impl AsyncRead + AsyncWrite + Unpin,
    startup: &[u8],
    hear: impl Fn(&[u8]),
) -> Result<()> {
    let ((mut from_client, mut to_client), (mut from_real, mut to_real)) =
        (split(client), split(real));
    to_real.write_all(startup).await?;
    let onward = async {
        let mut buffer = vec![0; 65_536];
        loop {
            let length = from_client.read(&mut buffer).await?;
            hear(&buffer[..length]);
            if length == 0 {
                return to_real.shutdown().await;
            }
            to_real.write_all(&buffer[..length]).await?;
            to_real.flush().await?;
        }
    };
    let back = async {
        copy(&mut from_real, &mut to_client).await?;
        to_client.shutdown().await
    };
    tokio::try_join!(onward, back).map(|_| ())
}
