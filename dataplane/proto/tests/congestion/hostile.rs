//! Whatever a peer writes into feedback, the controller keeps its bounds.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use proto::congestion::{Congestion, FLOOR_BPS, MAX_BPS, SentKind};
use proto::rtcp::{RtcpPacket, packets};

#[derive(Clone, Debug)]
enum Step {
    Send {
        size: usize,
        media: bool,
    },
    /// Feedback whose base is this far behind the next number.
    Feedback {
        behind: u16,
        count: u16,
        reference: u32,
        chunks: Vec<u16>,
        deltas: Vec<u8>,
    },
    Wait {
        us: u64,
    },
    Rtt {
        ms: u64,
    },
    Demand {
        sent: u64,
        wanted: u64,
    },
    Probe,
}

fn step() -> impl Strategy<Value = Step> {
    let count = prop_oneof![8 => 0u16..60, 1 => any::<u16>()];
    let behind = prop_oneof![8 => 0u16..80, 1 => any::<u16>()];
    let reference = prop_oneof![4 => 0u32..200, 1 => 0u32..0x100_0000];
    // Runs and vectors of received packets are more likely than noise makes them.
    let chunk = prop_oneof![any::<u16>(), 0x2001u16..0x2040, 0x4001u16..0x4010, Just(0xBFFFu16)];
    let chunks = prop::collection::vec(chunk, 0..12);
    let deltas = prop::collection::vec(any::<u8>(), 0..200);
    let feedback = (behind, count, reference, chunks, deltas).prop_map(
        |(behind, count, reference, chunks, deltas)| Step::Feedback {
            behind,
            count,
            reference,
            chunks,
            deltas,
        },
    );
    let bps = prop_oneof![0u64..10_000_000, any::<u64>()];
    prop_oneof![
        8 => (0usize..3_000, any::<bool>()).prop_map(|(size, media)| Step::Send { size, media }),
        8 => feedback,
        6 => prop_oneof![0u64..60_000, 0u64..10_000_000].prop_map(|us| Step::Wait { us }),
        1 => any::<u64>().prop_map(|ms| Step::Rtt { ms }),
        1 => (bps.clone(), bps).prop_map(|(sent, wanted)| Step::Demand { sent, wanted }),
        2 => Just(Step::Probe),
    ]
}

fn message(base: u16, count: u16, reference: u32, chunks: &[u16], deltas: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x8F, 205, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2];
    bytes.extend_from_slice(&base.to_be_bytes());
    bytes.extend_from_slice(&count.to_be_bytes());
    bytes.extend_from_slice(&reference.to_be_bytes()[1..]);
    bytes.push(0);
    chunks.iter().for_each(|chunk| bytes.extend_from_slice(&chunk.to_be_bytes()));
    bytes.extend_from_slice(deltas);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    let words = (bytes.len() / 4 - 1) as u16;
    bytes[2..4].copy_from_slice(&words.to_be_bytes());
    bytes
}

#[allow(clippy::disallowed_methods)]
fn zero() -> Instant {
    Instant::now()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn arbitrary_feedback_keeps_the_bounds(steps in prop::collection::vec(step(), 1..300)) {
        let mut now = zero();
        let mut congestion = Congestion::new(now);
        for step in steps {
            match step {
                Step::Send { size, media } => {
                    let kind = if media { SentKind::Media } else { SentKind::Probe };
                    congestion.on_sent(size, kind, now);
                }
                Step::Feedback { behind, count, reference, chunks, deltas } => {
                    let base = congestion.next_sequence().wrapping_sub(behind);
                    let bytes = message(base, count, reference, &chunks, &deltas);
                    for packet in packets(&bytes) {
                        if let Ok(RtcpPacket::TransportFeedback(view)) = packet {
                            congestion.on_feedback(&view, now);
                        }
                    }
                }
                Step::Wait { us } => {
                    now += Duration::from_micros(us);
                    congestion.on_tick(now);
                }
                Step::Rtt { ms } => congestion.on_rtt(Duration::from_millis(ms)),
                Step::Demand { sent, wanted } => congestion.set_demand(sent, wanted),
                Step::Probe => {
                    let due = congestion.probe(now).map_or(0, |probe| probe.bytes);
                    prop_assert!(due <= 400_000, "{due}");
                    congestion.on_sent(due, SentKind::Probe, now);
                }
            }
            let estimate = congestion.estimate();
            prop_assert!((FLOOR_BPS..=MAX_BPS).contains(&estimate), "{estimate}");
            prop_assert!(congestion.pacing_rate() >= estimate);
            prop_assert!(congestion.pacing_rate() <= 2 * MAX_BPS);
            prop_assert!((0.0..=1.0).contains(&congestion.loss()), "{}", congestion.loss());
            prop_assert!(congestion.rtt().is_none_or(|rtt| rtt <= Duration::from_secs(10)));
            let _ = (congestion.queue_delay(), congestion.next_probe());
        }
    }
}
