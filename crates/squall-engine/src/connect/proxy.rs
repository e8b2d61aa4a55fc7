//! A tunnel through an HTTP proxy (RFC 9110, section 9.3.6).

use std::pin::pin;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::future::{Either, select};
use http::header::{HOST, PROXY_AUTHORIZATION};
use http::{HeaderValue, Method, Request};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use tokio::net::TcpStream;
use url::Url;

use super::{ConnectError, Origin};

/// A proxy, as far as connections need to know it.
#[derive(Debug, Clone)]
pub(super) struct Proxy {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) authorization: Option<HeaderValue>,
}

impl Proxy {
    /// The proxy of a URL; its credentials become `Proxy-Authorization`.
    pub(super) fn of(url: &Url) -> Option<Self> {
        let Origin { host, port, .. } = Origin::of(url)?;
        let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let credentials = (!url.username().is_empty())
            .then(|| format!("{}:{}", decoded(url.username()), decoded(url.password().unwrap_or_default())));
        let authorization = credentials.and_then(|credentials| {
            let mut value = HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(credentials))).ok()?;
            value.set_sensitive(true);
            Some(value)
        });
        Some(Self { host, port, authorization })
    }
}

/// Asks the proxy for a way to the origin.
pub(super) async fn tunnel(
    stream: TcpStream,
    proxy: &Proxy,
    origin: &Origin,
) -> Result<TcpStream, ConnectError> {
    let broken = |error: hyper::Error| ConnectError::Proxy(error.to_string());
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let authority = origin.authority();
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.method_mut() = Method::CONNECT;
    *request.uri_mut() =
        authority.parse().map_err(|_| ConnectError::Proxy(format!("no way to `{authority}`")))?;
    if let Ok(host) = HeaderValue::from_str(&authority) {
        request.headers_mut().insert(HOST, host);
    }
    if let Some(authorization) = &proxy.authorization {
        request.headers_mut().insert(PROXY_AUTHORIZATION, authorization.clone());
    }
    let mut connection = pin!(connection.without_shutdown());
    // A proxy that refuses may keep the connection open, so its answer is not waited for with the connection's end.
    let (answer, parts) = match select(pin!(sender.send_request(request)), &mut connection).await {
        Either::Left((answer, _)) => (answer.map_err(broken)?, None),
        Either::Right((Ok(parts), answer)) => (answer.await.map_err(broken)?, Some(parts)),
        Either::Right((Err(error), _)) => return Err(broken(error)),
    };
    if !answer.status().is_success() {
        return Err(ConnectError::Proxy(answer.status().as_str().to_owned()));
    }
    let parts = match parts {
        Some(parts) => parts,
        None => connection.await.map_err(broken)?,
    };
    // Whoever speaks first behind a tunnel is the client.
    if !parts.read_buf.is_empty() {
        return Err(ConnectError::Proxy("more than an answer".to_owned()));
    }
    Ok(parts.io.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_of_the_url_become_a_header() {
        let proxy = Proxy::of(&Url::parse("http://us%20er:p%40ss@127.0.0.1:3128").unwrap()).unwrap();
        assert_eq!((proxy.host.as_str(), proxy.port), ("127.0.0.1", 3128));
        assert_eq!(proxy.authorization.unwrap(), "Basic dXMgZXI6cEBzcw==");
        assert_eq!(Proxy::of(&Url::parse("http://[::1]").unwrap()).unwrap().authorization, None);
    }
}
