//! The way in over TLS, ahead of the driver.
//!
//! The driver has a seam for TLS alone, so this is where its own hash of the password (see
//! [`crate::scram`]) is gone around: what comes out of the seam is a stream on which the server has
//! been greeted (see [`crate::greeted`]).

use std::pin::Pin;

use native_tls::TlsConnector;
use tokio::io::{AsyncRead, AsyncWrite, BufReader};
use tokio_native_tls::TlsStream;
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};

use crate::greeted::{Greeted, Greeting};

/// The way in: over TLS, with a greeting.
#[derive(Clone)]
pub struct WayIn {
    /// Whom we believe.
    pub tls: TlsConnector,
    /// What is said there.
    pub greeting: Greeting,
}

/// The same, at one host.
pub struct WayInAt {
    way: WayIn,
    host: String,
}

impl<S> MakeTlsConnect<S> for WayIn
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = Over<S>;
    type TlsConnect = WayInAt;
    type Error = native_tls::Error;

    fn make_tls_connect(&mut self, host: &str) -> Result<WayInAt, native_tls::Error> {
        Ok(WayInAt { way: self.clone(), host: host.to_owned() })
    }
}

impl<S> TlsConnect<S> for WayInAt
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = Over<S>;
    type Error = native_tls::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Over<S>, native_tls::Error>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        Box::pin(async move {
            let tls = tokio_native_tls::TlsConnector::from(self.way.tls.clone());
            let stream = tls.connect(&self.host, BufReader::new(stream)).await?;
            let binding = stream.get_ref().tls_server_end_point().ok().flatten();
            Ok(Greeted::greet(stream, binding, &self.way.greeting).await)
        })
    }
}

/// What comes out of the seam: the buffer is to read a record of TLS at once.
type Over<S> = Greeted<TlsStream<BufReader<S>>>;
