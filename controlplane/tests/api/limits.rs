//! What hostile or broken clients meet: slow and large requests, floods.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use controlplane::config::HttpLimits;
use serde_json::json;

use crate::http::{APP, SECRET, Server, config, read};

fn short() -> HttpLimits {
    HttpLimits {
        head: Duration::from_millis(600),
        body: Duration::from_millis(600),
        ..HttpLimits::default()
    }
}

/// How long until the server ends the connection.
fn ends_after(stream: &mut std::net::TcpStream) -> Duration {
    let start = Instant::now();
    let mut bytes = [0; 4_096];
    while matches!(stream.read(&mut bytes), Ok(len) if len > 0) {}
    start.elapsed()
}

#[test]
fn stalled_connections_end() {
    let server = Server::with_limits(short());
    let h2_start = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    for start in ["", "P", "PRI * HTT", h2_start, "GET /healthz HTTP/1.1\r\nHost: x\r\nX-"] {
        let mut stream = server.connect();
        stream.write_all(start.as_bytes()).unwrap();
        let ended = ends_after(&mut stream);
        assert!(ended < Duration::from_secs(3), "{start:?} ended after {ended:?}");
    }
}

#[test]
fn a_head_that_trickles_in_ends() {
    let server = Server::with_limits(short());
    let mut stream = server.connect();
    let start = Instant::now();
    let text =
        "GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ".bytes().chain(std::iter::repeat(b'a'));
    for byte in text {
        if stream.write_all(&[byte]).is_err() {
            break;
        }
        assert!(start.elapsed() < Duration::from_secs(4), "still open");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(start.elapsed() >= Duration::from_millis(500));
}

#[test]
fn half_a_body_is_answered_and_ended() {
    let server = Server::with_limits(short());
    let mut stream = server.connect();
    let head = format!(
        "POST /v1/apps/{APP}/sessions/new HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\
         Authorization: Bearer {SECRET}\r\n\r\n{{"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let answer = read(&mut stream);
    assert_eq!(answer.error(), (408, "decoding_error".to_owned()));
    assert!(ends_after(&mut stream) < Duration::from_secs(2));
}

#[test]
fn long_bodies_are_refused_announced_or_not() {
    let server = Server::start();
    let path = format!("/v1/apps/{APP}/sessions/new");
    let auth = format!("Authorization: Bearer {SECRET}\r\n");
    let mut stream = server.connect();
    let head =
        format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n{auth}\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    assert_eq!(read(&mut stream).error(), (413, "payload_too_large".to_owned()));

    let mut stream = server.connect();
    let head =
        format!("POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n{auth}\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    for _ in 0..17 {
        if stream.write_all(chunk.as_bytes()).is_err() {
            break;
        }
    }
    assert_eq!(read(&mut stream).error(), (413, "payload_too_large".to_owned()));

    // One byte less is read, and refused for what it is.
    let body = " ".repeat((1 << 20) - 2) + "{}";
    assert_eq!(server.send("POST", &path, &auth, &body).status, 201);
}

#[test]
fn a_deep_body_costs_nothing() {
    let server = Server::start();
    let auth = format!("Authorization: Bearer {SECRET}\r\n");
    let deep = format!("{{\"x\":{}", "[".repeat(100_000));
    let answer = server.send("POST", &format!("/v1/apps/{APP}/sessions/new"), &auth, &deep);
    assert_eq!(answer.error(), (400, "decoding_error".to_owned()));
}

#[test]
fn the_fifty_first_request_of_a_second_waits() {
    let server = Server::start();
    let id = server.session();
    let path = format!("/v1/apps/{APP}/sessions/{id}");
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {SECRET}\r\n\r\n");
    let mut stream = server.connect();
    let start = Instant::now();
    let mut statuses = Vec::new();
    for _ in 0..51 {
        stream.write_all(request.as_bytes()).unwrap();
        statuses.push(read(&mut stream));
    }
    assert!(start.elapsed() < Duration::from_secs(1), "the test itself was too slow");
    assert!(statuses.iter().take(50).all(|answer| answer.status == 200));
    let last = statuses.last().unwrap();
    assert_eq!(last.error().0, 429);
    assert_eq!(last.headers["retry-after"], "1");
    // Another session is not touched by it.
    let other = server.session();
    assert_eq!(server.get(&format!("/sessions/{other}")).status, 200);
    std::thread::sleep(Duration::from_millis(1_050));
    assert_eq!(server.get(&format!("/sessions/{id}")).status, 200);
}

#[test]
fn connections_beyond_the_cap_are_turned_away_and_come_back() {
    let limits = HttpLimits { connections_per_address: 3, ..HttpLimits::default() };
    let server = Server::with_limits(limits);
    let held: Vec<_> = (0..3)
        .map(|_| {
            let mut stream = server.connect();
            stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
            assert_eq!(read(&mut stream).status, 200);
            stream
        })
        .collect();
    let mut refused = server.connect();
    assert!(ends_after(&mut refused) < Duration::from_secs(2));
    drop(held);
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(server.send("GET", "/healthz", "", "").status, 200);
}

#[test]
fn parallel_requests_of_one_session_are_all_served() {
    let server = Server::start();
    let id = server.session();
    let path = format!("/sessions/{id}/tracks/close");
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..16)
            .map(|n| {
                let (server, path) = (&server, &path);
                scope.spawn(move || {
                    let body = json!({ "tracks": [{ "mid": n.to_string() }], "force": true });
                    server.put(path, body).ok()
                })
            })
            .collect();
        for (n, worker) in workers.into_iter().enumerate() {
            let json = worker.join().unwrap();
            assert_eq!(json["tracks"][0]["mid"], n.to_string());
            assert_eq!(json["tracks"][0]["errorCode"], "close_track_error");
        }
    });
}

#[test]
fn a_stopped_server_frees_its_ports() {
    let server = Server::start();
    let mut idle = server.connect();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    assert_eq!(read(&mut idle).status, 200);
    let address = server.address;
    let start = Instant::now();
    server.stop();
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    assert!(std::net::TcpStream::connect(address).is_err());
    let again = Server::with(controlplane::Config { http: address, ..config() });
    assert_eq!(again.send("GET", "/healthz", "", "").status, 200);
}
