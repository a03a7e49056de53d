//! Who may see the dashboard, and that it shows a node without media as that.

use std::net::{Ipv4Addr, SocketAddr};

use controlplane::Config;
use controlplane::config::Secret;

use crate::http::{Server, config};

const TOKEN: &str = "a-dashboard-token-of-our-own";
const OVERVIEW: &str = "/dashboard/api/overview";

#[test]
fn on_loopback_it_is_open_and_a_token_closes_it() {
    let server = Server::start();
    let id = server.session();
    let overview = server.request("GET", OVERVIEW, "", "");
    assert_eq!(overview.status, 200, "{}", overview.text);
    let overview = overview.json();
    assert_eq!((&overview["total"], &overview["connected"]), (&1.into(), &0.into()));
    assert_eq!(overview["cores"].as_array().unwrap().len(), 2);
    let line = &overview["sessions"][0];
    assert_eq!((line["id"].as_str(), &line["finding"]["severity"]), (Some(&*id), &"bad".into()));
    let page = server.request("GET", &format!("/dashboard/api/sessions/{id}"), "", "").json();
    assert!(page["findings"][0]["text"].as_str().unwrap().contains("not connected"), "{page}");
    let status = |headers: &str, path: &str| server.request("GET", path, headers, "").status;
    assert_eq!(status("", "/dashboard/api/sessions/none"), 410);
    assert_eq!(status("Origin: https://evil.example\r\n", OVERVIEW), 404);
    assert_eq!(status("X-Forwarded-For: 192.0.2.1\r\n", OVERVIEW), 404);
    assert_eq!(status("", "/dashboard"), 200);

    let dashboard_token = Some(Secret(TOKEN.into()));
    let server = Server::with(Config { dashboard_token, ..config() });
    let status = |headers: &str| server.request("GET", OVERVIEW, headers, "").status;
    assert_eq!(status(""), 401);
    assert_eq!(status("Authorization: Bearer another-token-of-somebody\r\n"), 401);
    assert_eq!(status(&format!("Authorization: Bearer {TOKEN}\r\n")), 200);
}

#[test]
fn elsewhere_it_is_off_without_a_token() {
    let http = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0);
    let status = |dashboard_token| {
        let server = Server::with(Config { http, page: true, dashboard_token, ..config() });
        let headers = format!("Authorization: Bearer {TOKEN}\r\n");
        server.request("GET", OVERVIEW, &headers, "").status
    };
    assert_eq!(status(None), 404);
    assert_eq!(status(Some(Secret(TOKEN.into()))), 200);
}
