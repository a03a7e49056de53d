//! What the server's pages may load, and the guard of their same-origin proxy.
//!
//! The proxy lets the page use the first app without its secret, so it must not be usable by pages
//! of other sites open in the same browser: [`allowed`] refuses every request that is not from the
//! page's own origin. Called by `server.rs` before the handlers.

use hyper::HeaderMap;
use hyper::header::{HOST, ORIGIN};

use crate::error::ApiError;

/// What the page may load: nothing but itself.
pub(crate) const POLICY: &str = "default-src 'self'; media-src 'self' blob: mediastream:; \
     img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

/// Whether a request to the page's proxy may pass.
///
/// Other sites' pages send `Sec-Fetch-Site` or a foreign `Origin`. A site that points its own name
/// at this host (DNS rebinding) has a matching origin, so a server on loopback takes only names
/// that cannot be pointed: `localhost` and literal addresses.
///
/// # Errors
/// [`ApiError::PageRefused`].
pub(crate) fn allowed(
    enabled: bool,
    loopback: bool,
    authority: Option<&str>,
    headers: &HeaderMap,
) -> Result<(), ApiError> {
    if !enabled {
        let text = "the page's access is off: start the server with --page on";
        return Err(ApiError::PageRefused(text));
    }
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let foreign = Err(ApiError::PageRefused("this endpoint is for the server's own page"));
    let Some(host) = text(HOST.as_str()).or(authority) else { return foreign };
    if loopback && !cannot_be_pointed(host) {
        return foreign;
    }
    if text("sec-fetch-site").is_some_and(|site| site != "same-origin" && site != "none") {
        return foreign;
    }
    match headers.get(ORIGIN).map(|origin| origin.to_str()) {
        None => Ok(()),
        Some(Ok(origin)) => {
            let place = origin.split_once("://").map(|(_, place)| place);
            if place == Some(host) { Ok(()) } else { foreign }
        }
        Some(Err(_)) => foreign,
    }
}

/// Whether a request without a token may see the dashboard: from the server's own page, to a server on
/// loopback. What a proxy on the same host passes on comes from elsewhere, whatever its address.
///
/// # Errors
/// [`ApiError::PageRefused`].
pub(crate) fn shows_dashboard(
    loopback: bool,
    authority: Option<&str>,
    headers: &HeaderMap,
) -> Result<(), ApiError> {
    let passed_on = ["forwarded", "x-forwarded-for", "x-real-ip", "via"];
    if !loopback || passed_on.iter().any(|name| headers.contains_key(*name)) {
        let text = "the dashboard is off: start the server with --dashboard-token";
        return Err(ApiError::PageRefused(text));
    }
    allowed(true, true, authority, headers)
}

/// Whether a host is `localhost` or a literal address.
fn cannot_be_pointed(host: &str) -> bool {
    let without_port = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let name = without_port.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || name.parse::<std::net::IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use hyper::header::{HeaderName, HeaderValue};

    use super::*;

    fn ask(enabled: bool, loopback: bool, pairs: &[(&'static str, &'static str)]) -> bool {
        let headers = pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        allowed(enabled, loopback, None, &headers.collect()).is_ok()
    }

    #[test]
    fn without_a_token_the_dashboard_is_for_loopback_alone() {
        let look = |loopback, pairs: &[(&'static str, &'static str)]| {
            let headers = pairs.iter().map(|(name, value)| {
                (HeaderName::from_static(name), HeaderValue::from_static(value))
            });
            shows_dashboard(loopback, None, &headers.collect()).is_ok()
        };
        let host = ("host", "127.0.0.1:8080");
        assert!(look(true, &[host]));
        assert!(!look(false, &[host]));
        assert!(!look(true, &[("host", "evil.example")]));
        assert!(!look(true, &[host, ("origin", "https://evil.example")]));
        assert!(!look(true, &[host, ("x-forwarded-for", "192.0.2.1")]));
    }

    #[test]
    fn only_the_own_origin_passes() {
        let host = ("host", "127.0.0.1:8080");
        assert!(ask(true, true, &[host]));
        assert!(ask(true, true, &[host, ("origin", "http://127.0.0.1:8080")]));
        assert!(ask(true, true, &[("host", "localhost:8080"), ("sec-fetch-site", "same-origin")]));
        assert!(ask(true, true, &[("host", "[::1]:8080")]));
        assert!(!ask(false, true, &[host]));
        assert!(!ask(true, true, &[]));
        assert!(!ask(true, true, &[host, ("origin", "https://evil.example")]));
        assert!(!ask(true, true, &[host, ("origin", "null")]));
        assert!(!ask(true, true, &[host, ("sec-fetch-site", "cross-site")]));
        assert!(!ask(true, true, &[host, ("sec-fetch-site", "same-site")]));
        assert!(!ask(true, true, &[("host", "evil.example:8080")]));
        assert!(ask(true, false, &[("host", "sfu.example")]));
    }
}
