//! The one HTTP client: for the response, and, through a small adapter, for the AWS SDK.

use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;

/// How long a connection to an AWS endpoint may take: they are near, or out of reach.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Builds the client: no proxies, no redirects, no retries of its own.
///
/// # Errors
/// The TLS library could not be set up.
pub fn client(tls: native_tls::TlsConnector) -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .connect_timeout(CONNECT_TIMEOUT)
        .build()
}

/// Sends the SDK's requests over `client`, so that the binary holds one TLS stack and one pool of HTTP connections.
pub fn for_sdk(client: reqwest::Client) -> SharedHttpClient {
    let connector = SharedHttpConnector::new(Connector(client));
    http_client_fn(move |_, _| connector.clone())
}

#[derive(Debug)]
struct Connector(reqwest::Client);

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let client = self.0.clone();
        HttpConnectorFuture::new(async move {
            let request =
                request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
            // Every request of ours is a short JSON document in memory.
            let request = request.map(|body| body.bytes().map(<[u8]>::to_vec).unwrap_or_default());
            let request = request
                .try_into()
                .map_err(|error: reqwest::Error| ConnectorError::user(error.into()))?;
            let response = client.execute(request).await.map_err(failure)?;
            let status = response.status().as_u16().try_into();
            let headers = response.headers().clone();
            let body = response.bytes().await.map_err(failure)?;
            let mut response = HttpResponse::new(
                status.map_err(|_| ConnectorError::io("no HTTP status".into()))?,
                SdkBody::from(body),
            );
            for (name, value) in &headers {
                if let Ok(value) = value.to_str() {
                    response.headers_mut().append(name.as_str().to_owned(), value.to_owned());
                }
            }
            Ok(response)
        })
    }
}

fn failure(error: reqwest::Error) -> ConnectorError {
    if error.is_timeout() {
        ConnectorError::timeout(error.into())
    } else {
        ConnectorError::io(error.into())
    }
}
