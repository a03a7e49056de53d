//! One HTTP/1.1 request on a fresh connection, blocking: all that the WebDriver protocol and the
//! look at a server's health need. Called by `driver` and `server`. A reply ends after its
//! Content-Length, else with the connection; chunks are not understood (neither peer sends them).

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Longest wait for a reply; longer than any script may run.
const TIMEOUT: Duration = Duration::from_secs(130);

/// Status and body.
pub(crate) type Reply = (u16, String);

/// Sends one request and reads the whole reply.
pub(crate) fn request(
    to: SocketAddr,
    method: &str,
    path: &str,
    body: &str,
) -> Result<Reply, String> {
    let text = exchange(to, method, path, body)
        .map_err(|error| format!("{method} {path} at {to}: {error}"))?;
    parse(&text).ok_or_else(|| format!("{method} {path} at {to}: not HTTP: {text:?}"))
}

fn exchange(to: SocketAddr, method: &str, path: &str, body: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&to, Duration::from_secs(5))?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\n\
         Content-Type: application/json; charset=utf-8\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())?;
    // chromedriver keeps the connection open whatever it is told.
    let mut reply = Vec::new();
    let mut piece = [0; 16 * 1024];
    while !is_complete(&reply) {
        let len = stream.read(&mut piece)?;
        if len == 0 {
            break;
        }
        reply.extend_from_slice(&piece[..len]);
    }
    Ok(String::from_utf8_lossy(&reply).into_owned())
}

/// Whether the head has arrived and as many bytes as its Content-Length says.
fn is_complete(reply: &[u8]) -> bool {
    let Some(end) = reply.windows(4).position(|window| window == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&reply[..end]).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    let length: Option<usize> = length.and_then(|value| value.trim().parse().ok());
    length.is_some_and(|length| reply.len() >= end + 4 + length)
}

fn parse(text: &str) -> Option<Reply> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, body.to_owned()))
}
