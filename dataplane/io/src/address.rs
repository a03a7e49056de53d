//! Socket addresses in the kernel's form and back. Used by both drivers; total over any bytes.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// Room for an address of either family, in bytes.
pub(crate) const RAW_LEN: usize = size_of::<libc::sockaddr_in6>();

/// A socket address as the kernel reads it.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) union RawAddress {
    v4: libc::sockaddr_in,
    v6: libc::sockaddr_in6,
}

impl RawAddress {
    /// Writes `address`, and tells the length of its form.
    pub(crate) fn new(address: SocketAddr) -> (Self, libc::socklen_t) {
        match address {
            SocketAddr::V4(address) => {
                let v4 = libc::sockaddr_in {
                    sin_family: libc::AF_INET as libc::sa_family_t,
                    sin_port: address.port().to_be(),
                    sin_addr: libc::in_addr { s_addr: u32::from(*address.ip()).to_be() },
                    sin_zero: [0; 8],
                };
                (Self { v4 }, size_of::<libc::sockaddr_in>() as libc::socklen_t)
            }
            SocketAddr::V6(address) => {
                let v6 = libc::sockaddr_in6 {
                    sin6_family: libc::AF_INET6 as libc::sa_family_t,
                    sin6_port: address.port().to_be(),
                    sin6_flowinfo: address.flowinfo(),
                    sin6_addr: libc::in6_addr { s6_addr: address.ip().octets() },
                    sin6_scope_id: address.scope_id(),
                };
                (Self { v6 }, size_of::<libc::sockaddr_in6>() as libc::socklen_t)
            }
        }
    }

    /// An address of no family, as a place to write to.
    pub(crate) fn empty() -> Self {
        Self::new(SocketAddr::V6(SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, 0, 0, 0))).0
    }
}

/// Reads an address the kernel wrote; None when it is of another family or cut short. The flow
/// label of IPv6 is left out: one peer must not look like many.
pub(crate) fn decode(raw: &[u8]) -> Option<SocketAddr> {
    let family = u16::from_ne_bytes(*raw.first_chunk()?);
    let port = u16::from_be_bytes(*raw.get(2..)?.first_chunk()?);
    match i32::from(family) {
        libc::AF_INET => {
            let ip: [u8; 4] = *raw.get(4..)?.first_chunk()?;
            Some(SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::from(ip), port)))
        }
        libc::AF_INET6 => {
            let ip: [u8; 16] = *raw.get(8..)?.first_chunk()?;
            let scope = u32::from_ne_bytes(*raw.get(24..)?.first_chunk()?);
            Some(SocketAddr::V6(SocketAddrV6::new(Ipv6Addr::from(ip), port, 0, scope)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn bytes(address: SocketAddr) -> Vec<u8> {
        // The reference: what another crate makes of the same address.
        let reference = socket2::SockAddr::from(address);
        let (raw, len) = RawAddress::new(address);
        assert_eq!(len, reference.len());
        let ours = std::ptr::from_ref(&raw).cast::<u8>();
        // SAFETY: `len` is at most the size of the union, whose bytes up to `len` were all written.
        let ours = unsafe { std::slice::from_raw_parts(ours, len as usize) };
        let theirs = reference.as_ptr().cast::<u8>();
        // SAFETY: `as_ptr` points to `len` valid bytes that live as long as `reference`.
        let theirs = unsafe { std::slice::from_raw_parts(theirs, len as usize) };
        assert_eq!(ours, theirs);
        ours.to_vec()
    }

    #[test]
    fn addresses_survive_the_way_there_and_back() {
        for text in ["192.0.2.7:1473", "255.255.255.255:65535", "[2001:db8::1]:9", "[fe80::1%3]:80"]
        {
            let address: SocketAddr = text.parse().unwrap();
            assert_eq!(decode(&bytes(address)), Some(address));
        }
    }

    #[test]
    fn anything_else_is_refused() {
        let raw = bytes("[::1]:5".parse().unwrap());
        for len in 0..raw.len() {
            assert_eq!(decode(&raw[..len]), None);
        }
        assert_eq!(decode(&[0; RAW_LEN]), None);
    }
}
