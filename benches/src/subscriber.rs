//! One subscriber of a load run: a real socket, a real handshake; afterwards either cheap (keeps
//! consent, counts sequence numbers from the clear RTP header) or verifying (goes on through the
//! independent stack: decrypts and checks every payload).

use std::io;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

use ::tests::peer::Peer;
use proto::stun::write_binding_request;

/// Distance of two connectivity checks of a cheap subscriber (RFC 7675 section 5.1: about 5 s at
/// most; browsers send one each 2.5 s).
const CHECK: Duration = Duration::from_millis(2_500);
/// RFC 8445 section 5.1.2: type preference 110 (peer reflexive), component 1.
const PRIORITY: u32 = 110 << 24 | 0xffff << 8 | 255;

/// Sequence numbers of one received stream within the measured time.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Count {
    pub(crate) received: u64,
    first: u64,
    highest: Option<u64>,
}

impl Count {
    /// Counts a packet by the sequence number in its header.
    pub(crate) fn note(&mut self, sequence: u16) {
        self.received += 1;
        let Some(highest) = self.highest else {
            // Room below for packets that come late.
            self.first = u64::from(sequence) + (1 << 16);
            self.highest = Some(self.first);
            return;
        };
        let ahead = i64::from(sequence.wrapping_sub(highest as u16) as i16);
        self.highest = Some(highest.max(highest.saturating_add_signed(ahead)));
    }

    /// Packets that were sent between the first and the last received one.
    pub(crate) fn expected(&self) -> u64 {
        self.highest.map_or(0, |highest| highest - self.first + 1)
    }
}

/// The subscriber.
pub(crate) struct Subscriber {
    pub(crate) socket: UdpSocket,
    /// None once it is cheap.
    pub(crate) peer: Option<Peer>,
    pub(crate) number: usize,
    /// When its handshake began, and how long it took.
    pub(crate) began: Instant,
    pub(crate) connect: Option<Duration>,
    /// Video and audio.
    pub(crate) counts: [Count; 2],
    pub(crate) credentials: (String, String),
    next_check: Instant,
    checks: u32,
}

impl Subscriber {
    pub(crate) fn new(
        socket: UdpSocket,
        peer: Peer,
        number: usize,
        credentials: (String, String),
        now: Instant,
    ) -> Self {
        Self {
            socket,
            peer: Some(peer),
            number,
            began: now,
            connect: None,
            counts: [Count::default(); 2],
            credentials,
            next_check: now,
            checks: 0,
        }
    }

    /// From now on without the stack: its DTLS and SRTP state is dropped silently.
    pub(crate) fn become_cheap(&mut self, now: Instant) {
        self.peer = None;
        // Spread the checks of all over the whole interval.
        self.next_check = now + CHECK.mul_f64((self.number % 97) as f64 / 97.0);
    }

    /// Takes everything the socket holds. Returns the number of datagrams.
    pub(crate) fn receive(&mut self, buffer: &mut [u8], server: std::net::SocketAddr) -> u64 {
        let mut datagrams = 0;
        while let Ok(len) = self.socket.recv(buffer) {
            datagrams += 1;
            let bytes = &buffer[..len];
            self.count(bytes);
            if let Some(peer) = &mut self.peer {
                peer.on_datagram(server, bytes, Instant::now());
            }
        }
        datagrams
    }

    fn count(&mut self, bytes: &[u8]) {
        // RFC 7983 and RFC 5761: RTP begins with 2 in its two top bits, RTCP has types 192 to 223.
        let (Some(128..=191), Some(kind)) = (bytes.first(), bytes.get(1)) else { return };
        if (192..=223).contains(kind) || bytes.len() < 12 {
            return;
        }
        // The last bit of the SSRC says which track it is (see `serve::subscribed_ssrc`).
        self.counts[usize::from(bytes[11] & 1)].note(u16::from_be_bytes([bytes[2], bytes[3]]));
    }

    /// Does what is due and sends what there is to send.
    pub(crate) fn on_time(&mut self, now: Instant) -> io::Result<()> {
        let Some(peer) = &mut self.peer else { return self.check(now) };
        if peer.next_deadline() <= now {
            peer.on_deadline(now);
        }
        while let Some(datagram) = peer.poll_datagram() {
            // A full socket buffer is loss like any other.
            let _ = self.socket.send(&datagram.bytes);
        }
        if peer.connected && self.connect.is_none() {
            self.connect = Some(now - self.began);
        }
        Ok(())
    }

    fn check(&mut self, now: Instant) -> io::Result<()> {
        if now < self.next_check {
            return Ok(());
        }
        self.next_check = now + CHECK;
        self.checks += 1;
        let mut transaction = [0; 12];
        transaction[..8].copy_from_slice(&(self.number as u64).to_be_bytes());
        transaction[8..].copy_from_slice(&self.checks.to_be_bytes());
        let (ufrag, password) = &self.credentials;
        let name = format!("{ufrag}:load");
        let mut slot = [0; 256];
        let tie_breaker = self.number as u64;
        let secret = password.as_bytes();
        let len = write_binding_request(
            &mut slot,
            transaction,
            &name,
            true,
            PRIORITY,
            tie_breaker,
            secret,
        );
        let _ = self.socket.send(&slot[..len]);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_seen_across_the_wrap_and_late_packets_fill_them() {
        let mut count = Count::default();
        for sequence in [65_533, 65_534, 0, 65_535, 3] {
            count.note(sequence);
        }
        assert_eq!((count.received, count.expected()), (5, 7));
        assert_eq!(Count::default().expected(), 0);
    }
}
