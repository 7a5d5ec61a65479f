//! The way in over TLS: the startup message and SCRAM, ahead of the driver.
//!
//! The driver has a seam for TLS alone, so this is where its own hash of the password (see
//! [`crate::scram`]) is gone around: what comes out of the seam is a stream on which the server has
//! been greeted. The driver's startup message is kept back there, and what the server said after
//! SCRAM waits for it, errors too. Whatever else a server asks for is the driver's.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, BytesMut};
use native_tls::TlsConnector;
use postgres_protocol::message::backend::{AUTHENTICATION_TAG, ERROR_RESPONSE_TAG};
use postgres_protocol::message::frontend;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, ReadBuf};
use tokio_native_tls::TlsStream;
use tokio_postgres::tls::{self, ChannelBinding, MakeTlsConnect, TlsConnect};

use crate::password::Password;
use crate::scram::{self, Exchange};

/// Authentication requests: `AuthenticationSASL`, `AuthenticationSASLContinue` and
/// `AuthenticationSASLFinal`.
const SASL: u32 = 10;
const CONTINUE: u32 = 11;
const FINAL: u32 = 12;

/// The longest of these that is listened to, in bytes.
const LONGEST: usize = 16_384;

/// Their tag, their length without it, and their kind.
const HEAD: usize = 9;

/// Who comes, where to, and how it is shown.
#[derive(Clone)]
pub struct Greeting {
    /// Whom we believe.
    pub tls: TlsConnector,
    /// The role.
    pub user: String,
    /// The database.
    pub database: String,
    /// The role's password.
    pub password: Password,
}

/// The same, at one host.
pub struct GreetingAt {
    greeting: Greeting,
    host: String,
}

impl<S> MakeTlsConnect<S> for Greeting
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = Over<S>;
    type TlsConnect = GreetingAt;
    type Error = native_tls::Error;

    fn make_tls_connect(&mut self, host: &str) -> Result<GreetingAt, native_tls::Error> {
        Ok(GreetingAt { greeting: self.clone(), host: host.to_owned() })
    }
}

impl<S> TlsConnect<S> for GreetingAt
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = Over<S>;
    type Error = native_tls::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Over<S>, native_tls::Error>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        Box::pin(async move {
            let tls = tokio_native_tls::TlsConnector::from(self.greeting.tls.clone());
            let stream = tls.connect(&self.host, BufReader::new(stream)).await?;
            let binding = stream.get_ref().tls_server_end_point().ok().flatten();
            Ok(Greeted::greet(stream, binding, &self.greeting).await)
        })
    }
}

/// What comes out of the seam: the buffer is to read a record of TLS at once.
type Over<S> = Greeted<TlsStream<BufReader<S>>>;

/// A stream whose server has had its startup message.
pub struct Greeted<S> {
    stream: S,
    /// The hash of the server's certificate.
    binding: Option<Vec<u8>>,
    /// What the server said that the driver has not read yet.
    heard: BytesMut,
    /// What went wrong after that.
    failure: Option<io::Error>,
    /// The driver has sent its startup message.
    is_driven: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Greeted<S> {
    async fn greet(stream: S, binding: Option<Vec<u8>>, greeting: &Greeting) -> Self {
        let heard = BytesMut::new();
        let mut greeted = Self { stream, binding, heard, failure: None, is_driven: false };
        if let Err(failure) = greeted.log_in(greeting).await {
            // Nothing is believed that came with it.
            greeted.heard.clear();
            greeted.failure = Some(failure);
        }
        greeted
    }

    async fn log_in(&mut self, greeting: &Greeting) -> io::Result<()> {
        let mut words = BytesMut::new();
        let parameters = [
            ("client_encoding", "UTF8"),
            ("user", &greeting.user),
            ("database", &greeting.database),
            ("application_name", env!("CARGO_PKG_NAME")),
        ];
        frontend::startup_message(parameters, &mut words)?;
        self.say(&mut words).await?;

        let Some(offered) = self.hear(SASL).await? else { return Ok(()) };
        let offered: Vec<&[u8]> = offered[..].split(|byte| *byte == 0).collect();
        let exchange = Exchange::begin(&offered, self.binding.clone()).map_err(io::Error::other)?;
        let first = exchange.first();
        frontend::sasl_initial_response(exchange.mechanism, first.as_bytes(), &mut words)?;
        self.say(&mut words).await?;

        let Some(challenge) = self.hear(CONTINUE).await? else { return self.turned_away() };
        let (answer, proof) =
            exchange.answer(&challenge, &greeting.password).map_err(io::Error::other)?;
        frontend::sasl_response(answer.as_bytes(), &mut words)?;
        self.say(&mut words).await?;

        let Some(outcome) = self.hear(FINAL).await? else { return self.turned_away() };
        proof.check(&outcome).map_err(io::Error::other)
    }

    async fn say(&mut self, words: &mut BytesMut) -> io::Result<()> {
        self.stream.write_all(words).await?;
        words.clear();
        self.stream.flush().await
    }

    /// What the next message holds, if it is an authentication request of this kind. Any other is
    /// left to the driver, and so is the end of the connection.
    async fn hear(&mut self, kind: u32) -> io::Result<Option<BytesMut>> {
        loop {
            if self.heard.first().is_some_and(|tag| *tag != AUTHENTICATION_TAG) {
                return Ok(None);
            }
            if let Some((mut head, _)) = self.heard[..].split_at_checked(HEAD) {
                head.advance(1);
                let length = head.get_u32() as usize;
                if head.get_u32() != kind || !(HEAD..LONGEST).contains(&length) {
                    return Ok(None);
                }
                if self.heard.len() > length {
                    let mut message = self.heard.split_to(length + 1);
                    message.advance(HEAD);
                    return Ok(Some(message));
                }
            }
            if self.stream.read_buf(&mut self.heard).await? == 0 {
                return Ok(None);
            }
        }
    }

    /// In the middle of SCRAM the server may only say why not, or hang up: who says that all is well
    /// has not shown who he is.
    fn turned_away(&self) -> io::Result<()> {
        match self.heard.first() {
            None | Some(&ERROR_RESPONSE_TAG) => Ok(()),
            Some(_) => Err(io::Error::other(scram::Error::Invalid)),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Greeted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.heard.is_empty() {
            let size = into.remaining().min(self.heard.len());
            into.put_slice(&self.heard.split_to(size));
            return Poll::Ready(Ok(()));
        }
        if let Some(failure) = self.failure.take() {
            return Poll::Ready(Err(failure));
        }
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Greeted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        words: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_driven {
            return Pin::new(&mut self.stream).poll_write(context, words);
        }
        self.is_driven = true;
        // The driver waits for an answer to its startup message, so nothing else is with it.
        let is_whole = words
            .split_at_checked(4)
            .is_some_and(|(mut length, _)| length.get_u32() as usize == words.len());
        Poll::Ready(if is_whole {
            Ok(words.len())
        } else {
            Err(io::Error::other("the driver does not begin with a startup message"))
        })
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> tls::TlsStream for Greeted<S> {
    fn channel_binding(&self) -> ChannelBinding {
        let binding = self.binding.clone();
        binding.map_or_else(ChannelBinding::none, ChannelBinding::tls_server_end_point)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{DuplexStream, duplex};

    use super::*;

    /// What a server says in turn, each time that it is spoken to; `NONCE` stands for ours. Then it
    /// hangs up.
    async fn server(mut wire: DuplexStream, says: Vec<Vec<u8>>) {
        for message in says {
            let mut heard = vec![0; 4096];
            let size = wire.read(&mut heard).await.unwrap_or_default();
            let heard = String::from_utf8_lossy(&heard[..size]).into_owned();
            let nonce = heard.split("r=").nth(1).unwrap_or_default().as_bytes();
            let mut filled = Vec::new();
            for part in message.split_inclusive(|byte| *byte == b'#') {
                match part.strip_suffix(b"#") {
                    Some(part) => filled.extend([part, nonce].concat()),
                    None => filled.extend(part),
                }
            }
            // One byte at a time: no message arrives as a whole.
            for byte in filled {
                if wire.write_all(&[byte]).await.is_err() {
                    return;
                }
                tokio::task::yield_now().await;
            }
        }
    }

    /// An authentication request, with room for our nonce at `#`.
    fn request(kind: u32, text: &str) -> Vec<u8> {
        let nonces = text.matches('#').count() * (NONCE_IN_BASE64 - 1);
        let length = u32::try_from(8 + text.len() + nonces).expect("a short one");
        [b"R", &length.to_be_bytes()[..], &kind.to_be_bytes(), text.as_bytes()].concat()
    }

    const NONCE_IN_BASE64: usize = 24;

    /// What the driver reads, and why it reads no more, when a server says this.
    fn greeted_by(says: Vec<Vec<u8>>) -> (Vec<u8>, Option<String>) {
        let greeting = Greeting {
            tls: TlsConnector::new().expect("a connector"),
            user: "user".to_owned(),
            database: "app".to_owned(),
            password: Password::new("pencil".to_owned()),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let (ours, theirs) = duplex(4096);
            let greet = async {
                let mut greeted = Greeted::greet(ours, None, &greeting).await;
                greeted.write_all(&[0, 0, 0, 8, 0, 3, 0, 0]).await.expect("a startup message");
                let mut read = Vec::new();
                let end = greeted.read_to_end(&mut read).await;
                (read, end.err().map(|error| error.to_string()))
            };
            tokio::join!(greet, server(theirs, says)).0
        })
    }

    #[test]
    fn what_is_not_scram_is_the_drivers() {
        let well = [request(0, ""), b"S\0\0\0\x08a\0b\0".to_vec()].concat();
        let refusal = b"E\0\0\0\x07S!\0".to_vec();
        let md5 = request(5, "salt");
        for said in [well, refusal, md5, request(SASL, &"x".repeat(LONGEST)), b"R\0".to_vec()] {
            assert_eq!(greeted_by(vec![said.clone()]), (said, None));
        }
        assert_eq!(greeted_by(vec![vec![]]), (vec![], None), "who hangs up");
    }

    #[test]
    fn in_the_middle_of_scram_there_is_no_way_around_it() {
        let sasl = || request(SASL, "SCRAM-SHA-256\0\0");
        let challenge = || request(CONTINUE, "r=#more,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096");
        let refusal = b"E\0\0\0\x07S!\0".to_vec();
        let nothing = |words: &scram::Error| (vec![], Some(words.to_string()));
        let invalid = nothing(&scram::Error::Invalid);

        let unknown = greeted_by(vec![request(SASL, "OAUTHBEARER\0\0")]);
        assert_eq!(unknown, nothing(&scram::Error::Unknown));
        for said in [request(0, ""), request(SASL, "SCRAM-SHA-256\0\0"), b"Z\0\0\0\x05I".to_vec()] {
            assert_eq!(greeted_by(vec![sasl(), said.clone()]), invalid);
            assert_eq!(greeted_by(vec![sasl(), challenge(), said]), invalid);
        }
        assert_eq!(greeted_by(vec![sasl(), request(CONTINUE, "r=#,s=,i=1")]), invalid);
        let impostor =
            [request(FINAL, "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="), request(0, "")]
                .concat();
        let impostor = greeted_by(vec![sasl(), challenge(), impostor]);
        assert_eq!(impostor, nothing(&scram::Error::Impostor));

        assert_eq!(greeted_by(vec![sasl(), refusal.clone()]), (refusal.clone(), None));
        assert_eq!(greeted_by(vec![sasl(), challenge(), refusal.clone()]), (refusal, None));
        let silence = greeted_by(vec![sasl(), challenge(), vec![]]);
        assert_eq!(silence, (vec![], None), "who hangs up");
    }

    #[test]
    fn a_driver_that_begins_otherwise_is_not_let_in() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let stream = duplex(64).0;
            let heard = BytesMut::new();
            let mut greeted =
                Greeted { stream, binding: None, heard, failure: None, is_driven: false };
            assert!(greeted.write_all(b"Q\0\0\0\x05;").await.is_err());
        });
    }
}
