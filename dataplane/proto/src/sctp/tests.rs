//! Two associations with each other, and one with a sender that holds itself to nothing.

#![allow(clippy::disallowed_methods, clippy::unwrap_used)]
use super::*;
use proptest::prelude::*;

const FACTS: SctpFacts = SctpFacts { port: 5_000, max_message_size: 0, server_events: false };

/// Two associations on a path that loses nothing, in virtual time.
struct Pair {
    ends: [Sctp; 2],
    now: Instant,
    outputs: [Vec<SctpOutput>; 2],
    /// Packets of one that the other refused.
    refused: usize,
}

impl Pair {
    /// Both start; the second begins, the first would a little later.
    fn up() -> Self {
        let now = Instant::now();
        let mut pair = Self {
            ends: [Sctp::new(&FACTS), Sctp::new(&FACTS)],
            now,
            outputs: [Vec::new(), Vec::new()],
            refused: 0,
        };
        pair.ends[1].start(now);
        pair.ends[0].start(now + Duration::from_millis(10));
        pair.run(Duration::from_secs(2));
        assert!(pair.ends.iter().all(Sctp::is_up));
        pair
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            self.exchange();
            let next = self.ends.iter().filter_map(Sctp::next_deadline).min();
            match next.filter(|at| *at <= end) {
                Some(at) => self.now = self.now.max(at),
                None => break,
            }
            self.ends.iter_mut().for_each(|it| it.on_deadline(self.now));
        }
        self.now = end;
    }

    fn exchange(&mut self) {
        loop {
            let mut idle = true;
            for from in 0..2 {
                while let Some(output) = self.ends[from].poll() {
                    self.outputs[from].push(output);
                }
                while let Some(packet) = self.ends[from].poll_packet(self.now) {
                    idle = false;
                    assert!(packet.len() <= 1_163, "{} bytes", packet.len());
                    let taken = self.ends[1 - from].on_packet(&packet, self.now);
                    self.refused += usize::from(!taken);
                }
            }
            if idle {
                return;
            }
        }
    }

    fn messages(&mut self, end: usize) -> Vec<(u16, Message)> {
        let outputs = std::mem::take(&mut self.outputs[end]).into_iter();
        let message = |output| match output {
            SctpOutput::Message { stream, message } => Some((stream, message)),
            _ => None,
        };
        outputs.filter_map(message).collect()
    }
}

fn message(text: bool, bytes: impl Into<Bytes>) -> Message {
    Message { text, bytes: bytes.into() }
}

#[test]
fn an_init_that_crosses_the_answer_to_ours_changes_nothing() {
    let now = Instant::now() + BEGIN_AFTER;
    let mut pair = Pair {
        ends: [Sctp::new(&FACTS), Sctp::new(&FACTS)],
        now,
        outputs: [Vec::new(), Vec::new()],
        refused: 0,
    };
    let mut late = Sctp::new(&FACTS);
    for end in [&mut pair.ends[0], &mut late] {
        end.start(now - BEGIN_AFTER);
        end.on_deadline(now);
    }
    let [ours, remote] = &mut pair.ends;
    assert!(remote.on_packet(&ours.poll_packet(now).unwrap(), now), "our INIT");
    assert!(ours.on_packet(&remote.poll_packet(now).unwrap(), now), "the answer");
    assert!(!ours.on_packet(&late.poll_packet(now).unwrap(), now), "an INIT sent before it");
    pair.exchange();
    assert!(pair.ends.iter().all(Sctp::is_up));
}

#[test]
fn messages_keep_their_kind_and_their_borders() {
    let mut pair = Pair::up();
    let sent = [
        message(true, "text"),
        message(false, vec![1, 2, 3]),
        message(true, ""),
        message(false, ""),
        message(false, (0..CHANNEL_MESSAGE_MAX).map(|at| at as u8).collect::<Vec<_>>()),
        message(true, vec![b'x'; 1_116]),
        message(true, vec![b'x'; 1_117]),
    ];
    assert_eq!(pair.ends[0].send(4, &sent[0]), Err(SendError::Closed));
    assert!(pair.ends[0].open(4, RELIABLE));
    for message in &sent {
        assert_eq!(pair.ends[0].send(4, message), Ok(()));
    }
    pair.run(Duration::from_secs(5));
    assert_eq!(pair.refused, 0);
    let got = pair.messages(1);
    assert_eq!(got.len(), sent.len());
    for (message, (stream, arrived)) in sent.iter().zip(&got) {
        assert_eq!((4, message.text), (*stream, arrived.text));
        assert!(message.bytes == arrived.bytes, "{} bytes", message.bytes.len());
    }
}

#[test]
fn what_is_too_long_for_the_remote_side_is_refused() {
    let mut pair = Pair::up();
    pair.ends[0].update(&SctpFacts { max_message_size: 1_000, ..FACTS });
    assert!(pair.ends[0].open(4, RELIABLE));
    assert_eq!(pair.ends[0].send(4, &message(false, vec![0; 1_000])), Ok(()));
    assert_eq!(pair.ends[0].send(4, &message(false, vec![0; 1_001])), Err(SendError::TooLong));
    pair.ends[0].update(&FACTS);
    let longer = message(false, vec![0; CHANNEL_MESSAGE_MAX + 1]);
    assert_eq!(pair.ends[0].send(4, &longer), Err(SendError::TooLong));
    assert!(!pair.ends[0].open(SCTP_STREAMS_MAX, RELIABLE));
}

#[test]
fn a_receiver_that_does_not_answer_fills_its_queue_and_no_more() {
    for len in [1, 1_000, 50_000] {
        let mut pair = Pair::up();
        for stream in [4, 5] {
            assert!(pair.ends[0].open(stream, RELIABLE));
        }
        let mut taken = 0;
        while pair.ends[0].send(4 + taken as u16 % 2, &message(false, vec![0; len])) == Ok(()) {
            taken += 1;
            // What leaves is lost.
            while pair.ends[0].poll_packet(pair.now).is_some() {}
        }
        let weight = taken * (len.max(1) + common::limits::CHANNEL_MESSAGE_COST);
        let bound = common::limits::SCTP_SEND_QUEUE;
        assert!(weight <= bound && weight + 60_000 > bound, "{taken} of {len}: {weight}");
        // It comes back: everything arrives (what is too far ahead for the other is lost again), and
        // there is room.
        pair.run(Duration::from_secs(60));
        assert_eq!(pair.messages(1).len(), taken);
        assert_eq!(pair.ends[0].send(4, &message(false, vec![0; len])), Ok(()));
    }
}

#[test]
fn closing_resets_both_directions_and_the_stream_can_be_used_again() {
    let mut pair = Pair::up();
    for round in 0..3u8 {
        assert!(pair.ends[0].open(9, RELIABLE) && pair.ends[1].open(9, RELIABLE));
        assert_eq!(pair.ends[0].send(9, &message(false, vec![round])), Ok(()));
        assert!(pair.ends[0].close(9));
        pair.run(Duration::from_secs(1));
        assert_eq!(pair.outputs[0].pop(), Some(SctpOutput::Freed { stream: 9 }));
        let seen = std::mem::take(&mut pair.outputs[1]);
        let reset = seen.iter().position(|it| *it == SctpOutput::Reset { stream: 9 });
        let freed = seen.iter().position(|it| *it == SctpOutput::Freed { stream: 9 });
        assert!(reset.is_some() && reset < freed, "{seen:?}");
        pair.outputs[0].clear();
    }
    // More at once than one packet names.
    for stream in 0..700 {
        assert!(pair.ends.iter_mut().all(|end| end.open(stream, RELIABLE)));
        assert!(pair.ends[0].close(stream));
    }
    pair.run(Duration::from_secs(5));
    let freed = pair.outputs[0].iter().filter(|it| matches!(it, SctpOutput::Freed { .. }));
    assert_eq!(freed.count(), 700);
}

#[test]
fn an_open_in_band_is_answered_and_ours_is_sent_where_wanted() {
    let mut pair = Pair::up();
    assert!(pair.ends[1].open(0, RELIABLE));
    let open = dcep::open("anything").into();
    assert_eq!(pair.ends[1].queue(0, Kind::Dcep, open), Ok(()));
    assert_eq!(pair.ends[1].send(0, &message(true, "dropped by the engine")), Ok(()));
    pair.run(Duration::from_secs(1));
    assert_eq!(pair.messages(0).len(), 1, "the OPEN is no message");
    // The ACK is none either.
    assert!(pair.messages(1).is_empty());

    let now = Instant::now();
    let mut ours = Sctp::new(&SctpFacts { server_events: true, ..FACTS });
    ours.start(now);
    let mut forger = Forger::connect(&mut ours, now);
    let packets = forger.take(&mut ours, now);
    let data = packets.iter().find(|packet| packet[12] == 0).expect("a DATA chunk");
    assert!(dcep::is_open(&data[28..28 + dcep::open(SERVER_EVENTS).len()]));
}

/// A remote side that writes its packets by hand.
struct Forger {
    tag: u32,
    tsn: u32,
}

impl Forger {
    const TSN: u32 = 1_000;

    fn connect(sctp: &mut Sctp, now: Instant) -> Self {
        assert!(sctp.on_packet(&packet(0, &[init(77)]), now));
        let answer = sctp.poll_packet(now).expect("INIT ACK");
        assert_eq!(answer[12], 2);
        let tag = u32::from_be_bytes(answer[16..20].try_into().unwrap());
        let cookie = 32;
        assert_eq!(answer[cookie..cookie + 2], [0, 7]);
        let len = usize::from(u16::from_be_bytes([answer[cookie + 2], answer[cookie + 3]]));
        let echo = chunk(10, 0, &answer[cookie + 4..cookie + len]);
        assert!(sctp.on_packet(&packet(tag, &[echo]), now));
        assert_eq!(sctp.poll(), Some(SctpOutput::Connected));
        Self { tag, tsn: Self::TSN }
    }

    /// Sends chunks; true when they were not refused.
    fn send(&self, sctp: &mut Sctp, chunks: &[Vec<u8>], now: Instant) -> bool {
        let taken = sctp.on_packet(&packet(self.tag, chunks), now);
        while sctp.poll_packet(now).is_some() {}
        taken
    }

    fn take(&mut self, sctp: &mut Sctp, now: Instant) -> Vec<Bytes> {
        std::iter::from_fn(|| sctp.poll_packet(now)).collect()
    }

    /// The next DATA chunk: flags 3 is a whole message, 2 a first and 0 a middle fragment.
    fn data(&mut self, flags: u8, stream: u16, sequence: u16, len: usize) -> Vec<u8> {
        let tsn = self.tsn;
        self.tsn += 1;
        data(tsn, flags, stream, sequence, len)
    }
}

fn init(tag: u32) -> Vec<u8> {
    let mut value = tag.to_be_bytes().to_vec();
    value.extend_from_slice(&(1u32 << 20).to_be_bytes());
    value.extend_from_slice(&[0xff; 4]);
    value.extend_from_slice(&Forger::TSN.to_be_bytes());
    // Forward TSN and stream reset are supported.
    value.extend_from_slice(&[0xc0, 0, 0, 4, 0x80, 0x08, 0, 6, 130, 192, 0, 0]);
    chunk(1, 0, &value)
}

fn data(tsn: u32, flags: u8, stream: u16, sequence: u16, len: usize) -> Vec<u8> {
    let mut value = tsn.to_be_bytes().to_vec();
    value.extend_from_slice(&stream.to_be_bytes());
    value.extend_from_slice(&sequence.to_be_bytes());
    value.extend_from_slice(&53u32.to_be_bytes());
    value.resize(12 + len, 0xaa);
    chunk(0, flags, &value)
}

fn reset(number: u32, last: u32, streams: &[u16]) -> Vec<u8> {
    let mut parameter = vec![0, 13];
    parameter.extend_from_slice(&(16 + 2 * streams.len() as u16).to_be_bytes());
    for word in [number, 0, last] {
        parameter.extend_from_slice(&word.to_be_bytes());
    }
    streams.iter().for_each(|stream| parameter.extend_from_slice(&stream.to_be_bytes()));
    chunk(130, 0, &parameter)
}

fn chunk(kind: u8, flags: u8, value: &[u8]) -> Vec<u8> {
    let mut chunk = vec![kind, flags];
    chunk.extend_from_slice(&(4 + value.len() as u16).to_be_bytes());
    chunk.extend_from_slice(value);
    chunk.resize(chunk.len().next_multiple_of(4), 0);
    chunk
}

fn packet(tag: u32, chunks: &[Vec<u8>]) -> Vec<u8> {
    let mut packet = vec![0x13, 0x88, 0x13, 0x88];
    packet.extend_from_slice(&tag.to_be_bytes());
    packet.extend_from_slice(&[0; 4]);
    chunks.iter().for_each(|chunk| packet.extend_from_slice(chunk));
    seal(&mut packet);
    packet
}

/// Writes the CRC32c (RFC 9260 appendix A).
fn seal(packet: &mut [u8]) {
    packet[8..12].fill(0);
    let mut crc = !0u32;
    for byte in packet.iter() {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg());
        }
    }
    packet[8..12].copy_from_slice(&(!crc).to_le_bytes());
}

fn connected() -> (Sctp, Forger, Instant) {
    let now = Instant::now();
    let mut sctp = Sctp::new(&FACTS);
    sctp.start(now);
    let forger = Forger::connect(&mut sctp, now);
    (sctp, forger, now)
}

#[test]
fn many_inits_are_one_association() {
    let now = Instant::now();
    let mut sctp = Sctp::new(&FACTS);
    sctp.start(now);
    for tag in 1..5_000 {
        assert!(sctp.on_packet(&packet(0, &[init(tag)]), now));
        assert!(sctp.poll_packet(now).is_some());
    }
    let mut forger = Forger::connect(&mut sctp, now);
    // One that arrives late, or again, changes nothing.
    assert!(!forger.send(&mut sctp, &[init(77)], now));
    assert!(!sctp.on_packet(&packet(0, &[init(77)]), now));
    let whole = forger.data(3, 1, 0, 10);
    assert!(forger.send(&mut sctp, &[whole], now));
    assert!(matches!(sctp.poll(), Some(SctpOutput::Message { stream: 1, .. })));
}

#[test]
fn small_fragments_are_bounded_in_number() {
    let (mut sctp, mut forger, now) = connected();
    let mut sent = 0;
    while sctp.is_up() {
        assert_eq!(sctp.poll(), None, "no message is whole");
        let first = |at: u32| 2 * u8::from(at == 0 && sent == 0);
        let chunks: Vec<_> = (0..50).map(|at| forger.data(first(at), 1, 0, 1)).collect();
        forger.send(&mut sctp, &chunks, now);
        sent += 50;
        assert!(sent <= common::limits::SCTP_HELD_CHUNKS_MAX + 100, "{sent}");
    }
    assert_eq!(sctp.poll(), Some(SctpOutput::Lost));
    assert_eq!(sctp.poll(), None);
    assert!(!sctp.on_packet(&packet(0, &[init(5)]), now), "an ended one answers nothing");
}

#[test]
fn messages_that_are_read_do_not_count() {
    let (mut sctp, mut forger, now) = connected();
    for sequence in 0..2_000u16 {
        let chunks: Vec<_> = (0..10).map(|_| forger.data(7, 1, sequence, 5)).collect();
        assert!(forger.send(&mut sctp, &chunks, now));
        let mut read = 0;
        while sctp.poll().is_some() {
            read += 1;
        }
        assert_eq!(read, 10);
    }
    assert!(sctp.is_up());
}

#[test]
fn messages_that_are_not_taken_hold_the_sender_back() {
    let (mut sctp, mut forger, now) = connected();
    let mut taken = 0;
    for _ in 0..500 {
        let chunks: Vec<_> = (0..50).map(|_| forger.data(7, 1, 0, 1)).collect();
        taken += usize::from(forger.send(&mut sctp, &chunks, now));
    }
    assert!((20..50).contains(&taken), "{taken}");
    assert!(sctp.is_up());
    let read = std::iter::from_fn(|| sctp.poll()).count();
    assert_eq!(read, taken * 50);
}

#[test]
fn what_is_far_ahead_or_torn_into_many_gaps_counts_as_lost() {
    let (mut sctp, forger, now) = connected();
    let far = Forger::TSN + common::limits::SCTP_AHEAD_MAX;
    assert!(!forger.send(&mut sctp, &[data(far, 3, 1, 9, 5)], now));
    assert!(forger.send(&mut sctp, &[data(far - 1, 3, 1, 9, 5)], now));
    let mut taken = 0;
    for gap in 0..1_000 {
        let one = data(Forger::TSN + 2 + 2 * gap, 3, 1, 9, 5);
        taken += usize::from(forger.send(&mut sctp, &[one], now));
    }
    assert!((150..=common::limits::SCTP_GAPS_MAX).contains(&taken), "{taken}");
    // The first missing one is always taken.
    assert!(forger.send(&mut sctp, &[data(Forger::TSN, 3, 1, 0, 5)], now));
    assert!(matches!(sctp.poll(), Some(SctpOutput::Message { .. })));
    assert!(sctp.is_up());
}

#[test]
fn streams_beyond_the_bound_end_the_association() {
    let (mut sctp, mut forger, now) = connected();
    for stream in 0..SCTP_STREAMS_MAX {
        let one = forger.data(3, stream, 0, 1);
        assert!(forger.send(&mut sctp, &[one], now));
        assert!(sctp.poll().is_some());
    }
    let beyond = forger.data(3, SCTP_STREAMS_MAX, 0, 1);
    assert!(!forger.send(&mut sctp, &[beyond], now));
    assert_eq!(sctp.poll(), Some(SctpOutput::Lost));
}

#[test]
fn resets_of_a_stream_that_keeps_half_a_message_do_not_pile_up() {
    let (mut sctp, mut forger, now) = connected();
    let half = forger.data(2, 3, 0, 100);
    assert!(forger.send(&mut sctp, &[half], now));
    let mut taken = 0;
    for number in 0..1_000 {
        let request = reset(Forger::TSN + number, forger.tsn - 1, &[3]);
        taken += usize::from(forger.send(&mut sctp, &[request], now));
        while sctp.poll().is_some() {}
    }
    assert_eq!(taken, 1);
    // Nor does what is sent behind it.
    let behind = forger.data(3, 3, 0, 100);
    assert!(!forger.send(&mut sctp, &[behind], now));
    assert!(sctp.is_up());
}

#[test]
fn a_sack_cannot_be_made_expensive() {
    let (mut sctp, forger, now) = connected();
    let sack = |blocks: &[(u16, u16)]| {
        let mut value = vec![0; 8];
        value.extend_from_slice(&(blocks.len() as u16).to_be_bytes());
        value.extend_from_slice(&[0, 0]);
        for (start, end) in blocks {
            value.extend_from_slice(&start.to_be_bytes());
            value.extend_from_slice(&end.to_be_bytes());
        }
        chunk(3, 0, &value)
    };
    assert!(!forger.send(&mut sctp, &[sack(&[(1, 60_000), (1, 60_000)])], now));
    assert!(!forger.send(&mut sctp, &[sack(&[(5, 4)])], now));
    assert!(!forger.send(&mut sctp, &[sack(&[]), sack(&[])], now));
    let heartbeats = vec![chunk(4, 0, &[0, 1, 0, 8, 1, 2, 3, 4]); 9];
    assert!(!forger.send(&mut sctp, &heartbeats, now));
    assert!(sctp.is_up());
}

#[test]
fn a_reported_error_ends_nothing() {
    let (mut sctp, forger, now) = connected();
    assert!(!forger.send(&mut sctp, &[chunk(9, 0, &[0, 6, 0, 4])], now));
    assert!(sctp.is_up());
    assert!(forger.send(&mut sctp, &[chunk(6, 0, &[])], now), "ABORT");
    assert_eq!(sctp.poll(), Some(SctpOutput::Lost));
}

fn hostile_chunk() -> impl Strategy<Value = Vec<u8>> {
    let stream = 0u16..6;
    prop_oneof![
        (any::<u8>(), any::<u8>(), prop::collection::vec(any::<u8>(), 0..40))
            .prop_map(|(kind, flags, value)| chunk(kind, flags, &value)),
        (0u32..40, 0u8..16, stream.clone(), 0u16..4, 1usize..60).prop_map(
            |(ahead, flags, stream, sequence, len)| {
                data(Forger::TSN + ahead, flags, stream, sequence, len)
            }
        ),
        (0u32..6, 0u32..40, prop::collection::vec(stream, 1..4)).prop_map(
            |(number, last, streams)| reset(Forger::TSN + number, Forger::TSN + last, &streams)
        ),
        (0u32..60, prop::collection::vec(any::<u16>(), 0..8)).prop_map(|(ahead, rest)| {
            let mut value = (Forger::TSN + ahead).to_be_bytes().to_vec();
            rest.iter().for_each(|word| value.extend_from_slice(&word.to_be_bytes()));
            chunk(192, 0, &value)
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_taken_without_a_panic(
        packets in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..20),
        sealed: bool,
    ) {
        let (mut sctp, forger, now) = connected();
        for mut bytes in packets {
            if sealed && bytes.len() >= 12 {
                bytes[4..8].copy_from_slice(&forger.tag.to_be_bytes());
                seal(&mut bytes);
            }
            sctp.on_packet(&bytes, now);
            while sctp.poll().is_some() {}
            while sctp.poll_packet(now).is_some() {}
        }
    }

    #[test]
    fn well_formed_nonsense_is_taken_without_a_panic_and_ends(
        packets in prop::collection::vec(prop::collection::vec(hostile_chunk(), 1..6), 1..40),
        opened in 0u16..6,
    ) {
        let (mut sctp, forger, mut now) = connected();
        sctp.open(opened, RELIABLE);
        for chunks in packets {
            let _ = sctp.send(opened, &message(false, vec![0; 100]));
            sctp.on_packet(&packet(forger.tag, &chunks), now);
            while sctp.poll().is_some() {}
            let mut sent = 0;
            while sctp.poll_packet(now).is_some() {
                sent += 1;
                prop_assert!(sent < 1_000);
            }
            now += Duration::from_millis(150);
            sctp.on_deadline(now);
            sctp.close(opened);
            sctp.open(opened + 1, RELIABLE);
        }
    }
}
