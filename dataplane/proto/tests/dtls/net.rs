//! A virtual network between our server role and the client role of `dimpl`.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use proto::dtls::{Certificate, Dtls, DtlsError, DtlsOutput};
use proto::srtp::{Keying, SrtpProfile};

pub(crate) const BUFFER: usize = 1_600;

pub(crate) fn certificate() -> &'static Arc<Certificate> {
    static CERTIFICATE: OnceLock<Arc<Certificate>> = OnceLock::new();
    CERTIFICATE.get_or_init(|| Arc::new(Certificate::generate().unwrap()))
}

/// What the server said when it was polled dry.
#[derive(Default, Debug)]
pub(crate) struct Said {
    pub(crate) datagrams: Vec<Vec<u8>>,
    pub(crate) connected: Option<(Keying, SrtpProfile, [u8; 32])>,
    pub(crate) plain: Vec<Vec<u8>>,
    pub(crate) closed: bool,
    pub(crate) deadline: Option<Instant>,
}

pub(crate) fn drain(server: &mut Dtls, now: Instant) -> Said {
    let mut buffer = [0; BUFFER];
    let mut said = Said::default();
    loop {
        match server.poll(&mut buffer, now) {
            DtlsOutput::Datagram(bytes) => said.datagrams.push(bytes.to_vec()),
            DtlsOutput::Connected { keying, profile, peer_fingerprint } => {
                assert!(said.connected.is_none());
                said.connected = Some((keying, profile, peer_fingerprint));
            }
            DtlsOutput::ApplicationData(bytes) => said.plain.push(bytes.to_vec()),
            DtlsOutput::Closed => said.closed = true,
            DtlsOutput::Deadline(at) => {
                said.deadline = Some(at);
                return said;
            }
        }
    }
}

/// Which version the client insists on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Offer {
    Only12,
    Only13,
    Both,
}

pub(crate) struct Client {
    pub(crate) dtls: dimpl::Dtls,
    pub(crate) fingerprint: [u8; 32],
    pub(crate) keying: Option<(Vec<u8>, dimpl::SrtpProfile)>,
    pub(crate) peer_certificate: Option<Vec<u8>>,
    pub(crate) connected: bool,
    pub(crate) plain: Vec<Vec<u8>>,
    pub(crate) closed: bool,
}

impl Client {
    pub(crate) fn new(offer: Offer, mtu: usize, now: Instant) -> Client {
        let certificate = dimpl::certificate::generate_self_signed_certificate().unwrap();
        let fingerprint = certificate.fingerprint().try_into().unwrap();
        let config = dimpl::Config::builder()
            .mtu(mtu)
            .flight_start_rto(Duration::from_millis(200))
            .flight_retries(8)
            .build();
        let config = Arc::new(config.unwrap());
        let make = match offer {
            Offer::Only12 => dimpl::Dtls::new_12,
            Offer::Only13 => dimpl::Dtls::new_13,
            Offer::Both => dimpl::Dtls::new_auto,
        };
        let mut dtls = make(config, certificate, now);
        dtls.set_active(true);
        Client {
            dtls,
            fingerprint,
            keying: None,
            peer_certificate: None,
            connected: false,
            plain: Vec::new(),
            closed: false,
        }
    }

    /// Polls dry: the datagrams to send and the next deadline.
    pub(crate) fn drain(&mut self) -> (Vec<Vec<u8>>, Instant) {
        let mut buffer = vec![0; 4_096];
        let mut datagrams = Vec::new();
        loop {
            match self.dtls.poll_output(&mut buffer) {
                dimpl::Output::Packet(bytes) => datagrams.push(bytes.to_vec()),
                dimpl::Output::Connected => self.connected = true,
                dimpl::Output::PeerCert(der) => self.peer_certificate = Some(der.to_vec()),
                dimpl::Output::KeyingMaterial(keys, profile) => {
                    self.keying = Some((keys.to_vec(), profile));
                }
                dimpl::Output::ApplicationData(bytes) => self.plain.push(bytes.to_vec()),
                dimpl::Output::CloseNotify => self.closed = true,
                dimpl::Output::Timeout(at) => return (datagrams, at),
                other => panic!("{other:?}"),
            }
        }
    }
}

/// Decides what arrives of a datagram, given its number, whether it goes to the server, its bytes.
type Fate = dyn FnMut(usize, bool, Vec<u8>) -> Vec<Vec<u8>>;

/// Client, server, a clock, and 20 ms of path in each direction.
pub(crate) struct Net {
    pub(crate) now: Instant,
    pub(crate) client: Client,
    pub(crate) server: Dtls,
    pub(crate) said: Said,
    wire: VecDeque<(Instant, bool, Vec<u8>)>,
    client_deadline: Instant,
    /// Number of datagrams put on the wire in both directions.
    pub(crate) sent: usize,
    /// What happens to each datagram.
    pub(crate) fate: Box<Fate>,
    /// Answers of the server to datagrams.
    pub(crate) rejected: usize,
}

impl Net {
    pub(crate) fn new(offer: Offer, mtu: usize) -> Net {
        let now = Instant::now();
        let mut client = Client::new(offer, mtu, now);
        client.dtls.handle_timeout(now).unwrap();
        Net {
            now,
            client,
            server: Dtls::new(certificate(), now),
            said: Said::default(),
            wire: VecDeque::new(),
            client_deadline: now,
            sent: 0,
            fate: Box::new(|_, _, bytes| vec![bytes]),
            rejected: 0,
        }
    }

    /// Runs until both are connected or `limit` of virtual time passed; true when connected.
    pub(crate) fn run(&mut self, limit: Duration) -> bool {
        let end = self.now + limit;
        loop {
            self.flush();
            if self.client.connected && self.said.connected.is_some() {
                return true;
            }
            let arrival = self.wire.iter().map(|entry| entry.0).min();
            let next = [arrival, self.said.deadline, Some(self.client_deadline)]
                .into_iter()
                .flatten()
                .min()
                .unwrap();
            if next > end {
                return false;
            }
            self.now = self.now.max(next);
            self.deliver();
            self.client.dtls.handle_timeout(self.now).unwrap();
            if self.said.deadline.is_some_and(|at| at <= self.now) {
                self.server.on_deadline(self.now).unwrap();
            }
        }
    }

    /// Lets everything under way arrive, without timers.
    pub(crate) fn settle(&mut self) {
        for _ in 0..8 {
            self.flush();
            self.now += Duration::from_millis(20);
            self.deliver();
        }
        self.flush();
    }

    fn deliver(&mut self) {
        let now = self.now;
        let due: Vec<_> = self.wire.iter().filter(|e| e.0 <= now).cloned().collect();
        self.wire.retain(|entry| entry.0 > now);
        for (_, to_server, bytes) in due {
            if to_server {
                match self.server.on_datagram(&bytes, now) {
                    Ok(()) => {}
                    Err(DtlsError::Rejected) => self.rejected += 1,
                    Err(fatal) => panic!("{fatal:?}"),
                }
            } else {
                self.client.dtls.handle_timeout(now).unwrap();
                self.client.dtls.handle_packet(&bytes).unwrap();
            }
            self.flush();
        }
    }

    fn flush(&mut self) {
        let said = drain(&mut self.server, self.now);
        for datagram in said.datagrams {
            self.put(false, datagram);
        }
        if said.connected.is_some() {
            assert!(self.said.connected.is_none(), "connected twice");
            self.said.connected = said.connected;
        }
        self.said.plain.extend(said.plain);
        self.said.closed |= said.closed;
        self.said.deadline = said.deadline;
        let (datagrams, deadline) = self.client.drain();
        self.client_deadline = deadline;
        for datagram in datagrams {
            self.put(true, datagram);
        }
    }

    fn put(&mut self, to_server: bool, bytes: Vec<u8>) {
        let number = self.sent;
        self.sent += 1;
        let at = self.now + Duration::from_millis(20);
        for bytes in (self.fate)(number, to_server, bytes) {
            self.wire.push_back((at, to_server, bytes));
        }
    }

    /// Both sides hold the same keys and know each other's certificate.
    pub(crate) fn check(&self) -> SrtpProfile {
        let (keying, profile, fingerprint) = self.said.connected.as_ref().unwrap();
        let (material, theirs) = self.client.keying.as_ref().unwrap();
        let expected = match theirs {
            dimpl::SrtpProfile::AES128_CM_SHA1_80 => SrtpProfile::Aes128CmSha1_80,
            dimpl::SrtpProfile::AEAD_AES_128_GCM => SrtpProfile::AeadAes128Gcm,
            dimpl::SrtpProfile::AEAD_AES_256_GCM => SrtpProfile::AeadAes256Gcm,
            other => panic!("{other}"),
        };
        assert_eq!(*profile, expected);
        assert_eq!(Keying::from_exporter(expected, material).as_ref(), Some(keying));
        assert_eq!(*fingerprint, self.client.fingerprint);
        let ours = self.client.peer_certificate.as_ref().unwrap();
        assert_eq!(dimpl::certificate::calculate_fingerprint(ours), certificate().fingerprint());
        *profile
    }
}
