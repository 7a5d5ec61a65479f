//! An RDS endpoint with IAM authentication: TLS, a password in the clear that must be a token signed
//! for this endpoint, and then the real PostgreSQL.

use std::collections::{BTreeMap, VecDeque};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::SystemTime;

use native_tls::Identity;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::runtime::Builder;
use tokio_native_tls::TlsAcceptor;

use super::database::server;
use super::token::Expected;

/// The protocol's number of a request for TLS.
pub const TLS_PLEASE: u32 = 80_877_103;
/// The protocol's version 3.0.
const VERSION: u32 = 196_608;

/// The door, for as long as the process lives.
pub struct IamEndpoint {
    /// Where it listens on 127.0.0.1.
    pub port: u16,
    /// Who signed its certificate, as PEM text.
    pub ca: String,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    logins: Vec<Login>,
    refusals: VecDeque<()>,
}

/// Somebody who came with a password.
#[derive(Debug, Clone)]
pub struct Login {
    /// The role.
    pub user: String,
    /// The database.
    pub database: String,
    /// What was shown.
    pub token: String,
    /// What was thought of it.
    pub verdict: Result<(), String>,
}

impl IamEndpoint {
    /// Opens the door of the endpoint `host`, to tokens that these credentials sign: the port and
    /// the role of `expected` are those of each connection.
    pub fn open(expected: Expected) -> Self {
        Self::with(&certificate(), expected)
    }

    /// A door whose certificate was good until the end of 2020.
    pub fn expired() -> Self {
        let nobody = Expected {
            host: "localhost".to_owned(),
            port: 0,
            user: String::new(),
            region: String::new(),
            access_key: String::new(),
            secret_key: String::new(),
            session_token: String::new(),
        };
        Self::with(&expired_certificate(), nobody)
    }

    fn with(pem: &str, expected: Expected) -> Self {
        let (tls, ca) = acceptor(pem);
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        listener.set_nonblocking(true).expect("a socket");
        let port = listener.local_addr().expect("an address").port();
        let state = Arc::new(Mutex::new(State::default()));
        let door =
            Listener { tls, state: Arc::clone(&state), expected: Expected { port, ..expected } };
        thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async move {
                let listener = TcpListener::from_std(listener).expect("a socket");
                while let Ok((stream, _)) = listener.accept().await {
                    // A client may close the connection early.
                    let door = door.clone();
                    tokio::spawn(async move { drop(door.serve(stream).await) });
                }
            });
        });
        Self { port, ca, state }
    }

    /// Turns the next ones away, as RDS does while a grant has not taken effect.
    pub fn refuse(&self, times: usize) {
        self.state.lock().unwrap().refusals = (0..times).map(|_| ()).collect();
    }

    /// Everybody so far.
    pub fn logins(&self) -> Vec<Login> {
        self.state.lock().unwrap().logins.clone()
    }
}

#[derive(Clone)]
struct Listener {
    tls: TlsAcceptor,
    state: Arc<Mutex<State>>,
    expected: Expected,
}

impl Listener {
    async fn serve(self, mut stream: TcpStream) -> Result<(), Box<dyn std::error::Error>> {
        let (code, _) = startup(&mut stream).await?;
        if code != TLS_PLEASE {
            return Ok(());
        }
        stream.write_all(b"S").await?;
        let mut stream = self.tls.accept(stream).await?;
        let (code, packet) = startup(&mut stream).await?;
        if code != VERSION {
            return Ok(());
        }
        // "A password in the clear, please", and then one message of type `p`.
        stream.write_all(&message(b'R', &3_u32.to_be_bytes())).await?;
        assert_eq!(stream.read_u8().await?, b'p');
        let token = text(&body(&mut stream).await?);
        let parameters = parameters(&packet[8..]);
        let named = |name: &str| parameters.get(name).cloned().unwrap_or_default();
        let (user, database) = (named("user"), named("database"));
        let verdict = {
            let mut state = self.state.lock().unwrap();
            let expected = Expected { user: user.clone(), ..self.expected };
            let verdict = match state.refusals.pop_front() {
                Some(()) => Err("not yet".to_owned()),
                None => expected.check(&token, SystemTime::now()),
            };
            let login = Login { user: user.clone(), database, token, verdict: verdict.clone() };
            state.logins.push(login);
            verdict
        };
        if verdict.is_err() {
            let said = format!(
                "SFATAL\0VFATAL\0C28000\0MPAM authentication failed for user \"{user}\"\0\0"
            );
            stream.write_all(&message(b'E', said.as_bytes())).await?;
            return Ok(stream.shutdown().await?);
        }
        let mut real = UnixStream::connect(server().socket()).await?;
        real.write_all(&packet).await?;
        copy_bidirectional(&mut stream, &mut real).await?;
        Ok(())
    }
}

/// The first packet: its number, and all of it.
pub async fn startup(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<(u32, Vec<u8>)> {
    let rest = body(stream).await?;
    let code = u32::from_be_bytes([rest[0], rest[1], rest[2], rest[3]]);
    let length = u32::try_from(rest.len() + 4).expect("a short packet");
    Ok((code, [&length.to_be_bytes(), rest.as_slice()].concat()))
}

/// A length, which counts itself, and as many bytes.
async fn body(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<Vec<u8>> {
    let length = stream.read_u32().await?;
    let mut body = vec![0; length.saturating_sub(4) as usize];
    stream.read_exact(&mut body).await?;
    Ok(body)
}

/// A message of this kind.
pub fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).expect("a short message");
    [&[kind], length.to_be_bytes().as_slice(), body].concat()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end_matches('\0').to_owned()
}

fn parameters(packet: &[u8]) -> BTreeMap<String, String> {
    let words: Vec<String> = packet.split(|byte| *byte == 0).map(text).collect();
    words.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect()
}

/// TLS with this key and certificate, and the certificate.
pub fn acceptor(pem: &str) -> (TlsAcceptor, String) {
    let start = pem.find("-----BEGIN CERTIFICATE").expect("a certificate");
    let (key, ca) = pem.split_at(start);
    let identity = Identity::from_pkcs8(ca.as_bytes(), key.as_bytes());
    let tls = native_tls::TlsAcceptor::new(identity.expect("an identity")).expect("TLS");
    (tls.into(), ca.to_owned())
}

/// A key and a certificate for localhost, its own authority.
pub fn certificate() -> String {
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
        .args(["-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext"])
        .args(["subjectAltName=DNS:localhost,IP:127.0.0.1"])
        .args(["-keyout", "/dev/stdout", "-out", "/dev/stdout"])
        .output()
        .expect("the openssl command");
    String::from_utf8(made.stdout).expect("PEM text")
}

/// The same, of the year 2020.
fn expired_certificate() -> String {
    const SCRIPT: &str = "
        openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes \
            -subj /CN=localhost -keyout key -out request &&
        printf '[ca]\ndefault_ca = d\n[d]\nnew_certs_dir = .\ndatabase = index\nserial = serial\n
            default_md = sha256\npolicy = p\nx509_extensions = e\n[p]\ncommonName = supplied\n
            [e]\nbasicConstraints = CA:TRUE\nsubjectAltName = DNS:localhost\n' > config &&
        : > index && echo 01 > serial &&
        openssl ca -batch -config config -selfsign -keyfile key -in request -notext -out certificate \
            -startdate 20200101000000Z -enddate 20201231000000Z";
    let folder = format!("{}/expired-{}", env!("CARGO_TARGET_TMPDIR"), std::process::id());
    std::fs::create_dir_all(&folder).expect("a folder");
    let done = Command::new("sh").args(["-c", SCRIPT]).current_dir(&folder).output().expect("sh");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let read = |name: &str| std::fs::read_to_string(format!("{folder}/{name}")).expect("PEM text");
    let pem = read("key") + &read("certificate");
    std::fs::remove_dir_all(&folder).expect("a folder");
    pem
}
