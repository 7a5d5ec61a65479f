//! A small HTTP server that keeps each request byte for byte.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// A request as it came over the wire.
#[derive(Debug, Clone)]
pub struct Request {
    /// `GET`, `PUT`, ...
    pub method: String,
    /// Path and query, undecoded.
    pub target: String,
    /// Names and values in their order, names as they were written.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Request {
    /// The value of a header, whatever the case of its name.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

/// What the server does about a request.
#[derive(Debug, Clone)]
pub enum Reply {
    /// Answer with a status, headers and a body.
    Http(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// Close the connection without a word.
    Cut,
    /// Say nothing, and keep the connection.
    Hang,
}

impl Reply {
    /// A response with a body and no further headers.
    pub fn status(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self::Http(status, Vec::new(), body.into())
    }
}

/// A server on a port of its own, for as long as the process lives.
#[derive(Debug)]
pub struct HttpServer {
    /// Where it listens on 127.0.0.1.
    pub port: u16,
}

impl HttpServer {
    /// Serves every request, each on a connection and a thread of its own.
    pub fn start(answer: impl Fn(Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let answer = Arc::new(answer);
        let hanging = Arc::new(Mutex::new(Vec::new()));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answer, hanging) = (Arc::clone(&answer), Arc::clone(&hanging));
                thread::spawn(move || {
                    let Some(request) = read(&stream) else { return };
                    match answer(request) {
                        Reply::Http(status, headers, body) => {
                            write(stream, status, &headers, &body);
                        }
                        Reply::Cut => {}
                        Reply::Hang => hanging.lock().unwrap().push(stream),
                    }
                });
            }
        });
        Self { port }
    }
}

/// Reads one request; `None` if the client went away.
fn read(stream: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let first = line(&mut reader)?;
    let mut words = first.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = Vec::new();
    while let Some((name, value)) = line(&mut reader)?.split_once(':') {
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
    let mut request = Request { method, target, headers, body: Vec::new() };
    if request.header("Transfer-Encoding") == Some("chunked") {
        request.body = read_chunks(&mut reader)?;
    } else {
        let length = request.header("Content-Length").and_then(|text| text.parse().ok());
        request.body = vec![0; length.unwrap_or(0)];
        reader.read_exact(&mut request.body).ok()?;
    }
    Some(request)
}

fn read_chunks(reader: &mut impl BufRead) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let size = usize::from_str_radix(&line(reader)?, 16).ok()?;
        // Each chunk ends with an empty line, the last one too.
        let mut chunk = vec![0; size + 2];
        reader.read_exact(&mut chunk).ok()?;
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(&chunk[..size]);
    }
}

fn line(reader: &mut impl BufRead) -> Option<String> {
    let mut text = String::new();
    reader.read_line(&mut text).ok().filter(|read| *read > 0)?;
    Some(text.trim_end().to_owned())
}

fn write(mut stream: TcpStream, status: u16, headers: &[(&str, String)], body: &[u8]) {
    let mut head = format!(
        "HTTP/1.1 {status} Said So\r\nContent-Length: {}\r\nConnection: close\r\n",
        body.len()
    );
    for (name, value) in headers {
        head.extend([name, ": ", value, "\r\n"]);
    }
    head.push_str("\r\n");
    // A client that is gone by now was killed on purpose.
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
}
