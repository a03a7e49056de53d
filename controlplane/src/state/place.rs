//! Which addresses clients are told: the settings', or those of the host.
//!
//! Called once at start. Never announces an address no socket is bound to.

use std::net::{IpAddr, SocketAddr};

use crate::config::Config;

/// Most candidates in a description. Chosen: hosts with container bridges have some ten.
const CANDIDATES_MAX: usize = 16;

/// The candidates of this node, most preferred first; empty when there is none.
pub fn announced_addresses(config: &Config, media_port: u16) -> Vec<SocketAddr> {
    if !config.announce.is_empty() {
        let announced = config.announce.iter();
        return announced.map(|a| SocketAddr::new(a.ip, a.port.unwrap_or(media_port))).collect();
    }
    let host = host_addresses();
    let loopback = config.http.ip().is_loopback();
    choose(&config.media_binds, &host, loopback)
        .into_iter()
        .map(|ip| SocketAddr::new(ip, media_port))
        .collect()
}

/// Those of the host's addresses that a socket is bound to: a specific bind stands for itself, a
/// wildcard for its family without link-local ones, loopback last and only when wanted.
fn choose(binds: &[IpAddr], host: &[IpAddr], loopback: bool) -> Vec<IpAddr> {
    let mut chosen: Vec<IpAddr> = Vec::new();
    for bind in binds {
        if !bind.is_unspecified() {
            chosen.push(*bind);
            continue;
        }
        let family = host.iter().filter(|ip| ip.is_ipv4() == bind.is_ipv4());
        chosen.extend(family.filter(|ip| !is_link_local(ip) && (loopback || !ip.is_loopback())));
    }
    chosen.sort_by_key(|ip| (ip.is_loopback(), ip.is_ipv6()));
    chosen.dedup();
    chosen.truncate(CANDIDATES_MAX);
    chosen
}

fn is_link_local(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

fn host_addresses() -> Vec<IpAddr> {
    let Ok(interfaces) = nix::ifaddrs::getifaddrs() else {
        tracing::warn!("the host's addresses cannot be read; set --announce");
        return Vec::new();
    };
    interfaces
        .filter_map(|interface| {
            let address = interface.address?;
            let v4 = address.as_sockaddr_in().map(|a| IpAddr::V4(a.ip()));
            v4.or_else(|| address.as_sockaddr_in6().map(|a| IpAddr::V6(a.ip())))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn ips(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn wildcards_stand_for_their_family_and_loopback_comes_last() {
        let host = ips(&["127.0.0.1", "::1", "192.0.2.7", "169.254.3.3", "fe80::1", "2001:db8::7"]);
        let both = ips(&["0.0.0.0", "::"]);
        assert_eq!(choose(&both, &host, false), ips(&["192.0.2.7", "2001:db8::7"]));
        let with_loopback = ips(&["192.0.2.7", "2001:db8::7", "127.0.0.1", "::1"]);
        assert_eq!(choose(&both, &host, true), with_loopback);
        assert_eq!(choose(&ips(&["0.0.0.0"]), &host, false), ips(&["192.0.2.7"]));
        assert_eq!(choose(&ips(&["127.0.0.1"]), &host, false), ips(&["127.0.0.1"]));
        let six_only = ips(&["127.0.0.1", "::1", "fe80::1", "2001:db8::7"]);
        assert_eq!(choose(&both, &six_only, false), ips(&["2001:db8::7"]));
    }
}
