//! Sockets of the generator, and receiving in batches: one system call takes up to 32 datagrams, so
//! that the generator's core carries more than the server's. Called by `subscriber` and `floor`.

use std::io::IoSliceMut;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::os::fd::AsRawFd;

use nix::sys::socket::{MsgFlags, MultiHeaders, recvmmsg, setsockopt, sockopt};

use crate::Outcome;

/// Datagrams of one system call. Chosen: three frames of a camera.
const BATCH: usize = 32;
/// Bytes of the largest datagram.
const SLOT: usize = 2_048;
/// The address of everything that need not be elsewhere.
pub(crate) const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// Kernel receive buffer of each socket in bytes. Chosen: about a second of one subscriber's media.
const RECEIVE_BUFFER: usize = 1 << 20;

/// Memory for one batch of datagrams.
pub(crate) struct Batch {
    headers: MultiHeaders<()>,
    bytes: Vec<[u8; SLOT]>,
}

impl Batch {
    /// Takes memory for a batch.
    pub(crate) fn new() -> Self {
        Self { headers: MultiHeaders::preallocate(BATCH, None), bytes: vec![[0; SLOT]; BATCH] }
    }

    /// Shows `take` every datagram the socket holds, without waiting for one.
    pub(crate) fn receive(&mut self, socket: &UdpSocket, mut take: impl FnMut(&[u8])) {
        loop {
            let mut slots = self.bytes.iter_mut().map(|slot| [IoSliceMut::new(slot)]);
            let mut slices: [[IoSliceMut<'_>; 1]; BATCH] =
                std::array::from_fn(|_| slots.next().unwrap_or_else(|| [IoSliceMut::new(&mut [])]));
            let flags = MsgFlags::MSG_DONTWAIT;
            let headers = &mut self.headers;
            let Ok(messages) =
                recvmmsg(socket.as_raw_fd(), headers, slices.iter_mut(), flags, None)
            else {
                return;
            };
            let mut count = 0;
            for message in messages {
                count += 1;
                if let Some(bytes) = message.iovs().next() {
                    take(bytes);
                }
            }
            if count < BATCH {
                return;
            }
        }
    }
}

/// A socket at an address of this host with as much receive buffer as the system allows: a generator
/// that is not scheduled for a moment loses nothing.
pub(crate) fn socket(ip: IpAddr) -> Outcome<UdpSocket> {
    let socket = UdpSocket::bind((ip, 0))?;
    socket.set_nonblocking(true)?;
    setsockopt(&socket, sockopt::RcvBuf, &RECEIVE_BUFFER)?;
    // Needs a capability; without it the plain option did what it could.
    let _ = setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER);
    Ok(socket)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn more_than_a_batch_is_taken_in_order() {
        let (from, to) = (socket(LOOPBACK).unwrap(), socket(LOOPBACK).unwrap());
        for number in 0..70u8 {
            from.send_to(&vec![number; 1 + usize::from(number)], to.local_addr().unwrap()).unwrap();
        }
        let mut seen = Vec::new();
        Batch::new().receive(&to, |bytes| seen.push((bytes.len(), bytes[0])));
        assert_eq!(
            seen,
            (0..70).map(|number| (1 + number as usize, number as u8)).collect::<Vec<_>>()
        );
    }
}
