//! Where a webhook goes: which URLs are taken, and which addresses are spoken to.
//!
//! A webhook makes the server send requests where somebody else says, so names are resolved once
//! for each connection, and only addresses of the public Internet are connected to: neither the
//! server's own host nor its network, unless the operator allows it (server-side request forgery).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hyper::Uri;
use hyper::header::HeaderValue;
use hyper::http::uri::Scheme;

/// Longest URL in bytes; chosen.
const URL_MAX: usize = 2_048;

/// An endpoint that can be connected to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Target {
    /// Name or address, without the brackets of IPv6.
    pub(super) host: String,
    /// Port.
    pub(super) port: u16,
    /// Whether over TLS.
    pub(super) tls: bool,
    /// Path and query.
    pub(super) path: String,
    /// Value of the `Host` header.
    pub(super) authority: HeaderValue,
}

impl Target {
    /// Reads a URL. `private`: whether hosts of the own network may be named, and plain HTTP.
    ///
    /// # Errors
    /// What is wrong with it; it does not repeat the URL, which may hold a secret.
    pub(super) fn parse(url: &str, private: bool) -> Result<Self, &'static str> {
        if url.len() > URL_MAX {
            return Err("longer than 2048 bytes");
        }
        let malformed = "not a URL such as https://example.com/path";
        let uri: Uri = url.parse().map_err(|_| malformed)?;
        let (Some(scheme), Some(authority)) = (uri.scheme(), uri.authority()) else {
            return Err(malformed);
        };
        if authority.as_str().contains('@') || url.contains('#') {
            return Err("a user name, password or fragment in it");
        }
        let tls = *scheme == Scheme::HTTPS;
        if !tls && *scheme != Scheme::HTTP {
            return Err("neither https nor http");
        }
        if !tls && !private {
            return Err("plain http, which only --webhook-private allows");
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() {
            return Err(malformed);
        }
        if host.parse().is_ok_and(|ip| !private && !is_public(ip)) {
            return Err("an address of a private network, which only --webhook-private allows");
        }
        let port = match authority.as_str().strip_prefix(authority.host()) {
            Some("") => Some(if tls { 443 } else { 80 }),
            _ => authority.port_u16().filter(|port| *port != 0),
        };
        Ok(Self {
            host,
            port: port.ok_or(malformed)?,
            tls,
            path: uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
            authority: HeaderValue::from_str(authority.as_str()).map_err(|_| malformed)?,
        })
    }
}

/// Whether an address is one of the public Internet: none of the IANA registries of special-purpose
/// addresses (RFC 6890), nor one in which another is written that may be (6to4, Teredo, NAT64).
pub(super) fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => match ip.to_ipv4_mapped() {
            Some(ip) => is_public_v4(ip),
            None => is_public_v6(ip),
        },
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    !matches!(
        (a, b, c),
        (0 | 10 | 127 | 224.., _, _)
            | (100, 64..128, _)
            | (169, 254, _)
            | (172, 16..32, _)
            | (192, 168, _)
            | (192, 0, 0 | 2)
            | (192, 88, 99)
            | (198, 18 | 19, _)
            | (198, 51, 100)
            | (203, 0, 113)
    )
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let [a, b, ..] = ip.segments();
    // Global unicast is 2000::/3 so far; in it 2001::/23 is for protocols, 2001:db8::/32 and
    // 3fff::/20 for documents, 2002::/16 for 6to4.
    let special = match (a, b) {
        (0x2001, ..0x0200 | 0x0db8) | (0x2002, _) | (0x3fff, ..0x1000) => true,
        _ => a & 0xe000 != 0x2000,
    };
    !special
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_url_says_where_and_how() {
        for (url, host, port, tls, path) in [
            ("https://example.com", "example.com", 443, true, "/"),
            ("HTTPS://Example.com:8443/a?b=c", "Example.com", 8_443, true, "/a?b=c"),
            ("http://10.0.0.1/x", "10.0.0.1", 80, false, "/x"),
            ("http://[::1]:9/", "::1", 9, false, "/"),
            ("https://[2606:4700::1111]", "2606:4700::1111", 443, true, "/"),
        ] {
            let target = Target::parse(url, true).unwrap();
            let found = (target.host.as_str(), target.port, target.tls, target.path.as_str());
            assert_eq!(found, (host, port, tls, path), "{url}");
        }
    }

    #[test]
    fn what_is_not_allowed_is_refused() {
        let long = format!("https://example.com/{}", "x".repeat(URL_MAX));
        for url in [
            "",
            "/",
            "example.com",
            "ftp://example.com",
            "https://",
            "https:///x",
            "https://:1/",
            "https://a:0/",
            "https://a:65536/",
            "https://a:/",
            "https://user@example.com/",
            "https://u:p@example.com",
            "https://example.com/#x",
            "https://exa mple.com",
            &long,
        ] {
            assert!(Target::parse(url, true).is_err(), "{url}");
        }
        for url in [
            "http://example.com",
            "https://127.0.0.1",
            "https://[::1]/",
            "https://[::ffff:10.0.0.1]/",
            "https://169.254.169.254/latest/meta-data",
            "https://0.0.0.0",
            "https://192.168.1.1:8443/",
        ] {
            assert!(Target::parse(url, false).is_err(), "{url}");
            assert!(Target::parse(url, true).is_ok(), "{url}");
        }
        assert!(Target::parse("https://example.com", false).is_ok());
    }

    #[test]
    fn special_addresses_are_not_public() {
        for ip in [
            "0.0.0.0",
            "0.1.2.3",
            "10.255.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.1",
            "198.18.0.1",
            "198.19.255.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd00::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!is_public(ip.parse().unwrap()), "{ip}");
        }
        for ip in [
            "1.1.1.1",
            "100.63.0.1",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "198.17.0.1",
            "198.20.0.1",
            "223.255.255.255",
            "::ffff:1.1.1.1",
            "2001:4860:4860::8888",
            "2606:4700::1111",
            "3fff:1000::1",
        ] {
            assert!(is_public(ip.parse().unwrap()), "{ip}");
        }
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_parser(url in ".{0,60}", private: bool) {
            let _ = Target::parse(&url, private);
            let _ = Target::parse(&format!("https://{url}"), private);
        }
    }
}
