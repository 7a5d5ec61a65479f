//! A stream to a server that has had its startup message, and its answers to SCRAM.
//!
//! The driver's startup message is kept back here, and what the server said after SCRAM waits for it,
//! errors too. Whatever else a server asks for is the driver's.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, BytesMut};
use postgres_protocol::message::backend::{AUTHENTICATION_TAG, ERROR_RESPONSE_TAG};
use postgres_protocol::message::frontend;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio_postgres::tls::{self, ChannelBinding};

use crate::password::Password;
use crate::scram::{self, Exchange};

/// Authentication requests: `AuthenticationOk`, `AuthenticationSASL`, `AuthenticationSASLContinue`
/// and `AuthenticationSASLFinal`.
const OK: u32 = 0;
const SASL: u32 = 10;
const CONTINUE: u32 = 11;
const FINAL: u32 = 12;

/// The longest of these that is listened to, in bytes.
const LONGEST: usize = 16_384;

/// Their tag, their length without it, and their kind: the shortest have no more.
const HEAD: usize = 9;

/// Who comes, where to, and how it is shown.
#[derive(Clone)]
pub struct Greeting {
    /// The role.
    pub user: String,
    /// The database.
    pub database: String,
    /// The role's password.
    pub password: Password,
}

/// A stream whose server has had its startup message.
pub struct Greeted<S> {
    stream: S,
    /// The hash of the server's certificate.
    binding: Option<Vec<u8>>,
    /// What the server said that the driver has not read yet.
    heard: BytesMut,
    /// What went wrong after that.
    failure: Option<io::Error>,
    /// The startup message that the server has had, and the driver has not sent yet.
    startup: Option<BytesMut>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Greeted<S> {
    /// Says who comes, and answers SCRAM. What goes wrong is left for who reads from the stream.
    pub async fn greet(stream: S, binding: Option<Vec<u8>>, greeting: &Greeting) -> Self {
        let heard = BytesMut::new();
        let mut greeted = Self { stream, binding, heard, failure: None, startup: None };
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
        self.startup = Some(words.clone());
        self.say(&mut words).await?;

        let Some(offered) = self.hear(SASL).await? else { return Ok(()) };
        let offered: Vec<&[u8]> = offered[..].split(|byte| *byte == 0).collect();
        let exchange = Exchange::begin(&offered, self.binding.clone()).map_err(io::Error::other)?;
        let first = exchange.first();
        frontend::sasl_initial_response(exchange.mechanism, first.as_bytes(), &mut words)?;
        self.say(&mut words).await?;

        let Some(challenge) = self.hear(CONTINUE).await? else { return self.turned_away() };
        let (answer, proof) = exchange
            .answer(&challenge, |salt, rounds| greeting.password.salted(salt, rounds))
            .map_err(io::Error::other)?;
        frontend::sasl_response(answer.as_bytes(), &mut words)?;
        self.say(&mut words).await?;

        let Some(outcome) = self.hear(FINAL).await? else { return self.turned_away() };
        proof.check(&outcome).map_err(io::Error::other)?;
        match self.next().await? {
            Some((OK, _)) => Ok(()),
            _ => self.turned_away(),
        }
    }

    async fn say(&mut self, words: &mut BytesMut) -> io::Result<()> {
        self.stream.write_all(words).await?;
        words.clear();
        self.stream.flush().await
    }

    /// What the next message holds, if it is an authentication request of this kind. Any other is
    /// left to the driver, and so is the end of the connection.
    async fn hear(&mut self, kind: u32) -> io::Result<Option<BytesMut>> {
        let Some((_, size)) = self.next().await?.filter(|(next, _)| *next == kind) else {
            return Ok(None);
        };
        let mut message = self.heard.split_to(size);
        message.advance(HEAD);
        Ok(Some(message))
    }

    /// Kind and size of the next message, when all of it is there, if it is an authentication request.
    async fn next(&mut self) -> io::Result<Option<(u32, usize)>> {
        loop {
            if self.heard.first().is_some_and(|tag| *tag != AUTHENTICATION_TAG) {
                return Ok(None);
            }
            if let Some((mut head, _)) = self.heard[..].split_at_checked(HEAD) {
                head.advance(1);
                let size = 1 + head.get_u32() as usize;
                if !(HEAD..LONGEST).contains(&size) {
                    return Ok(None);
                }
                if self.heard.len() >= size {
                    return Ok(Some((head.get_u32(), size)));
                }
            }
            if self.stream.read_buf(&mut self.heard).await? == 0 {
                return if self.heard.is_empty() {
                    Ok(None)
                } else {
                    Err(io::ErrorKind::UnexpectedEof.into())
                };
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
        let Some(startup) = self.startup.take() else {
            return Pin::new(&mut self.stream).poll_write(context, words);
        };
        // The driver waits for an answer to it, so nothing else is with it.
        Poll::Ready(if startup == words {
            Ok(words.len())
        } else {
            Err(io::Error::other("the driver does not begin with the same startup message"))
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

    const OURS: &str = "SCRAM-SHA-256\0\0";
    const CHALLENGE: &str = "r=#more,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";

    /// What a server says in turn, each time that it is spoken to; `#` stands for our nonce, and `@` for
    /// what a server can say that knows the password. Then it hangs up.
    async fn server(mut wire: DuplexStream, says: Vec<Vec<u8>>) {
        let mut nonce = String::new();
        for message in says {
            let mut heard = vec![0; 4096];
            let size = wire.read(&mut heard).await.unwrap_or_default();
            let heard = String::from_utf8_lossy(&heard[..size]).into_owned();
            if let Some((_, first)) = heard.split_once("n,,n=,r=") {
                nonce = first.to_owned();
            }
            let last = heard.find("c=").map_or("", |start| &heard[start..]);
            let last = last.split_once(",p=").map_or("", |(last, _)| last);
            let all = format!("n=,r={nonce},{},{last}", CHALLENGE.replace('#', &nonce));
            let signature = scram::signature("pencil", &all);
            // One byte at a time: no message arrives as a whole.
            for byte in message.iter().flat_map(|byte| match byte {
                b'#' => nonce.as_bytes(),
                b'@' => signature.as_bytes(),
                byte => std::slice::from_ref(byte),
            }) {
                if wire.write_all(&[*byte]).await.is_err() {
                    return;
                }
                tokio::task::yield_now().await;
            }
        }
    }

    /// An authentication request, with room for a nonce or a signature.
    fn request(kind: u32, text: &str) -> Vec<u8> {
        let more = text.matches('#').count() * (24 - 1) + text.matches('@').count() * (44 - 1);
        let length = u32::try_from(8 + text.len() + more).expect("a short one");
        [b"R", &length.to_be_bytes()[..], &kind.to_be_bytes(), text.as_bytes()].concat()
    }

    /// What the driver reads, and why it reads no more, when a server says this.
    fn greeted_by(says: Vec<Vec<u8>>) -> (Vec<u8>, Option<String>) {
        let greeting = Greeting {
            user: "user".to_owned(),
            database: "app".to_owned(),
            password: Password::new("pencil".to_owned()),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let (ours, theirs) = duplex(4096);
            let greet = async {
                let mut greeted = Greeted::greet(ours, None, &greeting).await;
                let startup = greeted.startup.clone().expect("it was sent");
                greeted.write_all(&startup).await.expect("to swallow it");
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
        let endless = b"R\x7f\xff\xff\xff\0\0\0\x0a".to_vec();
        for said in [well, refusal, md5, endless] {
            assert_eq!(greeted_by(vec![said.clone()]), (said, None));
        }
        assert_eq!(greeted_by(vec![vec![]]), (vec![], None), "who hangs up");
    }

    #[test]
    fn in_scram_there_is_no_way_around_it() {
        let sasl = || request(SASL, OURS);
        let challenge = || request(CONTINUE, CHALLENGE);
        let proof = |then: &[u8]| [&request(FINAL, "v=@")[..], then].concat();
        let well = [request(OK, ""), b"Z\0\0\0\x05I".to_vec()].concat();
        let refusal = b"E\0\0\0\x07S!\0".to_vec();
        for said in [refusal, vec![]] {
            assert_eq!(greeted_by(vec![sasl(), said.clone()]), (said.clone(), None));
            assert_eq!(greeted_by(vec![sasl(), challenge(), said.clone()]), (said.clone(), None));
            assert_eq!(greeted_by(vec![sasl(), challenge(), proof(&said)]), (said, None));
        }
        assert_eq!(greeted_by(vec![sasl(), challenge(), proof(&well)]), (well.clone(), None));

        let nothing = |why: &scram::Error| (vec![], Some(why.to_string()));
        let invalid = nothing(&scram::Error::Invalid);
        for said in [sasl(), b"Z\0\0\0\x05I".to_vec(), request(3, "")] {
            assert_eq!(greeted_by(vec![sasl(), said.clone()]), invalid);
            assert_eq!(greeted_by(vec![sasl(), challenge(), said.clone()]), invalid);
            assert_eq!(greeted_by(vec![sasl(), challenge(), proof(&said)]), invalid);
        }
        assert_eq!(greeted_by(vec![sasl(), well.clone()]), invalid);
        assert_eq!(greeted_by(vec![sasl(), challenge(), well.clone()]), invalid);
        assert_eq!(greeted_by(vec![sasl(), request(CONTINUE, "r=#,s=,i=1")]), invalid);
        let unknown = greeted_by(vec![request(SASL, "OAUTHBEARER\0\0")]);
        assert_eq!(unknown, nothing(&scram::Error::Unknown));
        let impostor = request(FINAL, "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
        let impostor = greeted_by(vec![sasl(), challenge(), [impostor, well].concat()]);
        assert_eq!(impostor, nothing(&scram::Error::Impostor));
        let half = greeted_by(vec![sasl(), b"R\0".to_vec()]);
        assert_eq!(half, (vec![], Some("unexpected end of file".to_owned())));
    }

    #[test]
    fn a_driver_that_begins_otherwise_is_not_let_in() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let (stream, heard) = (duplex(64).0, BytesMut::new());
            let startup = Some(BytesMut::from("startup"));
            let mut greeted = Greeted { stream, binding: None, heard, failure: None, startup };
            assert!(greeted.write_all(b"other words").await.is_err());
        });
    }
}
