//! What of the host's settings stands in the way of a busy server: looked at once, at start, by
//! asking the kernel for the same things that the media sockets ask for. Called by `start.rs`, which
//! logs the advice; nothing here changes a setting or stops a start.

use std::net::UdpSocket;
use std::os::fd::AsFd;

use nix::sys::resource::{Resource, getrlimit};
use nix::sys::socket::{getsockopt, setsockopt, sockopt};

/// Descriptors below which a busy node runs out. Chosen: as many connections of the API as
/// `HttpLimits` lets in, and as many of media.
const FILES_MIN: u64 = 2 * 8_192;

/// What the host grants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Host {
    /// Send buffer of a socket that asked for what the media sockets ask for, in bytes.
    send_buffer: usize,
    /// Descriptors the process may have open.
    files: u64,
    /// Memory it may lock, in bytes.
    memlock: u64,
    /// Whether the kernel cuts one send into many datagrams (UDP_SEGMENT).
    segments: bool,
}

impl Host {
    /// Asks the kernel. None where it does not even give a socket: the start says why elsewhere.
    pub(crate) fn look(socket_buffer: usize) -> Option<Self> {
        let socket = UdpSocket::bind(("127.0.0.1", 0)).or_else(|_| UdpSocket::bind(("::1", 0)));
        let socket = socket.ok()?;
        let limit = |resource| getrlimit(resource).map_or(u64::MAX, |(soft, _)| soft);
        let forced = setsockopt(&socket.as_fd(), sockopt::SndBufForce, &socket_buffer);
        let _ = forced.or_else(|_| setsockopt(&socket.as_fd(), sockopt::SndBuf, &socket_buffer));
        Some(Self {
            send_buffer: getsockopt(&socket.as_fd(), sockopt::SndBuf).ok()?,
            files: limit(Resource::RLIMIT_NOFILE),
            memlock: limit(Resource::RLIMIT_MEMLOCK),
            segments: setsockopt(&socket.as_fd(), sockopt::UdpGsoSegment, &0).is_ok(),
        })
    }

    /// What its operator should change. `fallback` is why io_uring was refused, if it was wanted.
    pub(crate) fn advice(&self, socket_buffer: usize, fallback: Option<&str>) -> Vec<String> {
        let mut advice = Vec::new();
        if self.send_buffer < socket_buffer {
            advice.push(format!(
                "small send buffers of {} bytes, {socket_buffer} are wanted: bursts to many \
                 subscribers may be lost (raise net.core.wmem_max)",
                self.send_buffer
            ));
        }
        if self.files < FILES_MIN {
            advice.push(format!(
                "{} open files are allowed, a busy node needs {FILES_MIN}: connections will be \
                 refused (LimitNOFILE=, ulimit -n)",
                self.files
            ));
        }
        if let Some(reason) = fallback {
            advice.push(format!(
                "io_uring was refused ({reason}): packets cost more without it; it takes Linux 6.0, \
                 kernel.io_uring_disabled=0, a container that lets it through, and memory that may \
                 be locked, now {} bytes (LimitMEMLOCK=, ulimit -l)",
                self.memlock
            ));
        }
        if !self.segments {
            advice.push(
                "the kernel has no segmentation offload for UDP (Linux 4.18): every datagram costs \
                 a send of its own"
                    .to_owned(),
            );
        }
        advice
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const WANTED: usize = 8 << 20;
    const GOOD: Host =
        Host { send_buffer: WANTED, files: FILES_MIN, memlock: 64 << 20, segments: true };

    #[test]
    fn a_host_that_grants_everything_gets_no_advice() {
        assert_eq!(GOOD.advice(WANTED, None), Vec::<String>::new());
    }

    #[test]
    fn each_shortage_is_said_with_what_to_change() {
        for (host, fallback, part) in [
            (Host { send_buffer: WANTED - 1, ..GOOD }, None, "net.core.wmem_max"),
            (Host { files: FILES_MIN - 1, ..GOOD }, None, "LimitNOFILE="),
            (Host { memlock: 65_536, ..GOOD }, Some("out of memory"), "now 65536 bytes"),
            (Host { segments: false, ..GOOD }, None, "4.18"),
        ] {
            let advice = host.advice(WANTED, fallback);
            assert_eq!(advice.len(), 1, "{advice:?}");
            assert!(advice[0].contains(part), "{advice:?}");
        }
    }

    #[test]
    fn the_kernel_answers() {
        let host = Host::look(4_096).unwrap();
        assert!(host.send_buffer >= 4_096 && host.files > 0);
        // No system has a buffer of 2 GiB.
        assert!(!Host::look(1 << 31).unwrap().advice(1 << 31, None).is_empty());
    }
}
