//! The smallest forwarder: takes what has arrived, opens each packet once, and for every destination
//! rewrites the header, seals with that destination's key and sends. No sessions, no RTCP, no
//! history. Either one datagram per packet in batches of `sendmmsg`, or the packets of a burst as
//! one message with segmentation offload. Started by `floor`; answers to nothing but its packets.

use std::io::{BufRead, IoSlice, IoSliceMut, Read, Write};
use std::net::UdpSocket;
use std::os::fd::AsRawFd;

use aws_lc_rs::aead::{Aad, LessSafeKey};
use nix::sys::socket::{
    ControlMessage, MsgFlags, MultiHeaders, SockaddrIn, recvmmsg, sendmmsg, setsockopt, sockopt,
};

use super::seal::{HEADER, TAG, key, nonce};
use crate::client::batch::{LOOPBACK, socket};
use crate::{ForwarderArguments, Method, Outcome};

/// Packets taken at once, and messages sent at once.
const TAKEN: usize = 32;
const SENT: usize = 64;
/// Bytes of a received packet.
const SLOT: usize = 2_048;
/// Bytes of a message: as many segments as a burst can have.
const MESSAGE: usize = TAKEN * 1_300;
/// Kernel send buffer in bytes, as the server asks for.
const SEND_BUFFER: usize = 8 << 20;

/// One destination of one publisher.
struct Destination {
    address: SockaddrIn,
    key: LessSafeKey,
    counter: u64,
    ssrc: u32,
}

/// Messages that wait to be sent: their bytes and where each goes.
struct Outbox {
    socket: UdpSocket,
    method: Method,
    headers: MultiHeaders<SockaddrIn>,
    bytes: Vec<Vec<u8>>,
    addresses: Vec<Option<SockaddrIn>>,
}

/// One packet of a burst, opened.
struct Opened {
    header: [u8; HEADER],
    payload: Vec<u8>,
}

/// Forwards until stdin ends.
pub(crate) fn run(arguments: &ForwarderArguments) -> Outcome<()> {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    let ports: Vec<Vec<u16>> = serde_json::from_str(&line)?;
    let mut publishers = Vec::new();
    for (number, ports) in ports.iter().enumerate() {
        let destination = |(place, port): (usize, &u16)| {
            let ssrc = (number * 10_000 + place) as u32;
            let address = SockaddrIn::new(127, 0, 0, 1, *port);
            Ok(Destination { address, key: key(ssrc)?, counter: 0, ssrc })
        };
        let destinations: Outcome<Vec<_>> = ports.iter().enumerate().map(destination).collect();
        publishers.push((key(number as u32)?, destinations?));
    }
    let socket = socket(LOOPBACK)?;
    socket.set_nonblocking(false)?;
    setsockopt(&socket, sockopt::SndBuf, &SEND_BUFFER)?;
    // Needs a capability; without it the plain option did what it could.
    let _ = setsockopt(&socket, sockopt::SndBufForce, &SEND_BUFFER);
    println!("{}", socket.local_addr()?);
    std::io::stdout().flush()?;
    std::thread::spawn(|| {
        let _ = std::io::stdin().lock().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    forward(arguments.method, socket, &mut publishers)
}

type Publisher = (LessSafeKey, Vec<Destination>);

fn forward(method: Method, socket: UdpSocket, publishers: &mut [Publisher]) -> Outcome<()> {
    let fd = socket.as_raw_fd();
    let mut headers = MultiHeaders::<()>::preallocate(TAKEN, None);
    let mut slots = vec![[0; SLOT]; TAKEN];
    let control = (method == Method::Gso).then(|| nix::cmsg_space!(u16));
    let mut outbox = Outbox {
        socket,
        method,
        headers: MultiHeaders::preallocate(SENT, control),
        bytes: (0..SENT).map(|_| Vec::with_capacity(MESSAGE)).collect(),
        addresses: Vec::with_capacity(SENT),
    };
    let mut burst = Vec::with_capacity(TAKEN);
    loop {
        let lens: Vec<usize> = {
            let mut slices: Vec<[IoSliceMut<'_>; 1]> =
                slots.iter_mut().map(|slot| [IoSliceMut::new(slot)]).collect();
            let flags = MsgFlags::MSG_WAITFORONE;
            let messages = recvmmsg(fd, &mut headers, slices.iter_mut(), flags, None)?;
            messages.map(|message| message.bytes).collect()
        };
        let mut taken = slots.iter().zip(lens).filter_map(|(slot, len)| slot.get(..len)).peekable();
        // Runs of one publisher and one size are bursts.
        while let Some(first) = taken.next() {
            let Some(publisher) = publishers.get_mut(number(first)) else { continue };
            burst.clear();
            burst.extend(open(&publisher.0, first));
            while let Some(next) =
                taken.next_if(|next| next.len() == first.len() && number(next) == number(first))
            {
                burst.extend(open(&publisher.0, next));
            }
            for destination in &mut publisher.1 {
                match method {
                    Method::Gso => outbox.put(destination, &burst)?,
                    Method::Plain => {
                        burst.chunks(1).try_for_each(|one| outbox.put(destination, one))?;
                    }
                }
            }
            outbox.flush(first.len())?;
        }
    }
}

/// Whose packet it is.
fn number(packet: &[u8]) -> usize {
    packet
        .get(8..12)
        .and_then(|ssrc| ssrc.try_into().ok())
        .map_or(usize::MAX, |ssrc| u32::from_be_bytes(ssrc) as usize)
}

fn open(key: &LessSafeKey, packet: &[u8]) -> Option<Opened> {
    let (header, rest) = packet.split_first_chunk::<HEADER>()?;
    let (payload, tag) = rest.split_at_checked(rest.len().checked_sub(TAG)?)?;
    let sequence = u64::from(u16::from_be_bytes([header[2], header[3]]));
    let mut plain = vec![0; payload.len()];
    let aad = Aad::from(header.as_slice());
    key.open_separate_gather(nonce(sequence), aad, payload, tag, &mut plain).ok()?;
    Some(Opened { header: *header, payload: plain })
}

impl Outbox {
    /// Seals these packets for a destination into one message.
    fn put(&mut self, destination: &mut Destination, burst: &[Opened]) -> Outcome<()> {
        if self.addresses.len() == SENT {
            let segment = burst.first().map_or(0, |one| HEADER + one.payload.len() + TAG);
            self.flush(segment)?;
        }
        let Some(message) = self.bytes.get_mut(self.addresses.len()) else { return Ok(()) };
        message.clear();
        for packet in burst {
            destination.counter += 1;
            let (counter, start) = (destination.counter, message.len());
            message.resize(start + HEADER + packet.payload.len() + TAG, 0);
            let (_, slot) = message.split_at_mut(start);
            let (header, rest) = slot.split_at_mut(HEADER);
            header.copy_from_slice(&packet.header);
            header[2..4].copy_from_slice(&(counter as u16).to_be_bytes());
            header[8..12].copy_from_slice(&destination.ssrc.to_be_bytes());
            let (payload, tag) = rest.split_at_mut(packet.payload.len());
            destination.key.seal_out_of_place_scatter(
                nonce(counter),
                Aad::from(&*header),
                &packet.payload,
                payload,
                &[],
                tag,
            )?;
        }
        self.addresses.push(Some(destination.address));
        Ok(())
    }

    /// Sends what waits; messages of more than one packet are cut into `segment` bytes.
    fn flush(&mut self, segment: usize) -> Outcome<()> {
        if self.addresses.is_empty() {
            return Ok(());
        }
        let segment = u16::try_from(segment)?;
        let control = [ControlMessage::UdpGsoSegments(&segment)];
        let control = if self.method == Method::Gso { &control[..] } else { &[] };
        let slices: Vec<[IoSlice<'_>; 1]> =
            self.bytes.iter().map(|one| [IoSlice::new(one)]).collect();
        let slices = slices.get(..self.addresses.len()).unwrap_or_default();
        let (fd, flags) = (self.socket.as_raw_fd(), MsgFlags::empty());
        // What does not fit is loss like any other.
        let _ = sendmmsg(fd, &mut self.headers, slices, &self.addresses, control, flags);
        self.addresses.clear();
        Ok(())
    }
}
