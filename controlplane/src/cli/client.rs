//! One request at a time to the running server, over plain HTTP/1.1 at the address it listens on.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{AUTHORIZATION, HOST, HeaderValue};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use super::CliError;
use crate::config::Config;

/// How long a reply may take; chosen.
const REPLY_MAX: Duration = Duration::from_secs(10);
/// Longest reply, in bytes: a full node's sessions and more.
const REPLY_BYTES: usize = 256 << 20;
/// Where the account API is. The server is one account, whatever its id.
const ACCOUNT: &str = "/client/v4/accounts/own/calls";

/// A way to the server of some settings.
pub(super) struct Client {
    address: SocketAddr,
    token: Option<HeaderValue>,
    runtime: tokio::runtime::Runtime,
}

impl Client {
    /// A client of the server that runs with these settings.
    pub(super) fn new(config: &Config) -> Result<Self, CliError> {
        let address = reachable(config.http);
        if address.port() == 0 {
            return Err(CliError::NoPort);
        }
        let token = config.account_token.as_ref();
        let token = token.and_then(|token| {
            let mut value = HeaderValue::from_str(&format!("Bearer {}", token.0)).ok()?;
            value.set_sensitive(true);
            Some(value)
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { address, token, runtime })
    }

    /// Whether it may ask the account API.
    pub(super) fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// The text of a path that needs no token.
    pub(super) fn text(&self, path: &str) -> Result<String, CliError> {
        let (status, body) = self.ask(Method::GET, path, None, String::new())?;
        if status != 200 {
            return Err(CliError::Refused(format!("http://{}{path}: {status}", self.address)));
        }
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    /// The result of a call of the account API; `path` begins behind its base.
    pub(super) fn account(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Value, CliError> {
        let token = self.token.clone().ok_or(CliError::NoToken)?;
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let (status, body) = self.ask(method, &format!("{ACCOUNT}{path}"), Some(token), body)?;
        let reply: Value = serde_json::from_slice(&body).unwrap_or_default();
        match reply.get("success") {
            Some(Value::Bool(true)) => Ok(reply.get("result").cloned().unwrap_or_default()),
            _ => {
                let message = reply.pointer("/errors/0/message").and_then(Value::as_str);
                let message = message.map_or_else(|| format!("status {status}"), str::to_owned);
                Err(CliError::Refused(format!("http://{}: {message}", self.address)))
            }
        }
    }

    fn ask(
        &self,
        method: Method,
        path: &str,
        token: Option<HeaderValue>,
        body: String,
    ) -> Result<(u16, Bytes), CliError> {
        let address = self.address;
        let failed = |reason: String| CliError::Unreachable { address, reason };
        let request = Request::builder().method(method).uri(path).header(HOST, address.to_string());
        let request = match token {
            Some(token) => request.header(AUTHORIZATION, token),
            None => request,
        };
        let request = request
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| failed(error.to_string()))?;
        let reply = self
            .runtime
            .block_on(async { tokio::time::timeout(REPLY_MAX, exchange(address, request)).await });
        match reply {
            Ok(reply) => reply.map_err(|error| failed(error.to_string())),
            Err(_) => Err(failed("no reply in time".to_owned())),
        }
    }
}

async fn exchange(
    address: SocketAddr,
    request: Request<Full<Bytes>>,
) -> Result<(u16, Bytes), Box<dyn std::error::Error + Send + Sync>> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let reply = sender.send_request(request).await?;
    let status = reply.status().as_u16();
    Ok((status, Limited::new(reply.into_body(), REPLY_BYTES).collect().await?.to_bytes()))
}

/// Where a server that listens on `address` can be asked from its own host.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip: IpAddr = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_server_on_every_address_is_asked_on_loopback() {
        for (listens, asked) in [
            ("0.0.0.0:80", "127.0.0.1:80"),
            ("[::]:80", "[::1]:80"),
            ("192.0.2.1:80", "192.0.2.1:80"),
        ] {
            assert_eq!(reachable(listens.parse().unwrap()), asked.parse().unwrap());
        }
    }
}
