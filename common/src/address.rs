//! Transport addresses: the far end of a path. RFC 8445 section 4 calls the combination of IP
//! address, port and transport protocol that; here a TCP connection also has a name, so that what
//! is meant for one that ended never reaches its successor.
//!
//! Made by the drivers, kept by the engine, given back to the drivers. As small as a plain socket
//! address: on the packet path UDP pays nothing for TCP.

use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Where a datagram came from, or is to go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TransportAddress {
    /// A UDP address.
    Udp(SocketAddr),
    /// A TCP connection that carries datagrams as frames (RFC 4571, RFC 6544).
    Tcp(Connection),
}

const _: () = assert!(size_of::<TransportAddress>() == size_of::<SocketAddr>());

impl TransportAddress {
    /// IP address and port, whatever the protocol.
    #[inline]
    pub fn socket(self) -> SocketAddr {
        match self {
            TransportAddress::Udp(address) => address,
            TransportAddress::Tcp(connection) => connection.remote(),
        }
    }

    /// Whether it is a TCP connection.
    pub fn is_tcp(self) -> bool {
        matches!(self, TransportAddress::Tcp(_))
    }
}

impl From<SocketAddr> for TransportAddress {
    /// The UDP address.
    fn from(address: SocketAddr) -> Self {
        TransportAddress::Udp(address)
    }
}

/// Hashes as little as tells addresses apart: a UDP one as itself, a connection by its name.
impl Hash for TransportAddress {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            TransportAddress::Udp(address) => address.hash(state),
            TransportAddress::Tcp(connection) => {
                connection.generation.hash(state);
                connection.index.hash(state);
            }
        }
    }
}

/// Names one accepted TCP connection of one core. A stale name resolves to nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Connection {
    /// The far end; IPv4 as a mapped address (RFC 4291 section 2.5.5.2).
    ip: Ipv6Addr,
    port: u16,
    /// Place in the table of the driver that accepted it.
    index: u16,
    /// How often that place had been used before.
    generation: u32,
}

impl Connection {
    /// Names the connection with `remote` at place `index` in its `generation`.
    pub fn new(remote: SocketAddr, index: u16, generation: u32) -> Self {
        let ip = match remote.ip() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        Self { ip, port: remote.port(), index, generation }
    }

    /// IP address and port of its far end.
    pub fn remote(self) -> SocketAddr {
        SocketAddr::new(self.ip.to_canonical(), self.port)
    }

    /// Its place.
    pub fn index(self) -> u16 {
        self.index
    }

    /// The generation of its place.
    pub fn generation(self) -> u32 {
        self.generation
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn the_far_end_is_kept_in_both_families() {
        for text in ["192.0.2.7:1473", "[2001:db8::1]:9"] {
            let remote: SocketAddr = text.parse().unwrap();
            let address = TransportAddress::Tcp(Connection::new(remote, 7, 9));
            assert_eq!(address.socket(), remote);
            assert_eq!(TransportAddress::from(remote).socket(), remote);
            assert_ne!(address, remote.into());
        }
    }

    #[test]
    fn two_connections_from_one_address_are_two() {
        let remote: SocketAddr = "192.0.2.7:1473".parse().unwrap();
        let connections = [(1, 1), (1, 2), (2, 1)].map(|(index, generation)| {
            TransportAddress::Tcp(Connection::new(remote, index, generation))
        });
        let all: HashSet<_> = connections.into_iter().chain([remote.into()]).collect();
        assert_eq!(all.len(), 4);
    }
}
