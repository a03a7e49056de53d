//! What the dashboard's page reads, as JSON. It is for that page alone, so it is in no document of the
//! API. Rates are in bit/s, shares in 1/1000, counts since the start of the process.

use std::collections::BTreeMap;
use std::time::Instant;

use serde::Serialize;

use super::Finding;
use crate::state::Sample;

/// Everything on one page.
#[derive(Serialize)]
pub(super) struct Overview {
    pub(super) cores: Vec<Core>,
    pub(super) total: usize,
    pub(super) connected: usize,
    pub(super) sessions: Vec<SessionLine>,
}

/// One core.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Core {
    pub(super) datagrams_in: u64,
    pub(super) datagrams_out: u64,
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
    pub(super) resent: u64,
    pub(super) nacked: u64,
    pub(super) peers: u64,
    pub(super) tracks: u64,
    pub(super) subscriptions: u64,
    pub(super) commands_waiting: usize,
    pub(super) frames_waiting: usize,
    /// By reason; those that never happened are left out.
    pub(super) drops: BTreeMap<&'static str, u64>,
}

/// A session in one line.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SessionLine {
    pub(super) id: String,
    pub(super) app: String,
    pub(super) identifier: String,
    pub(super) connected: bool,
    pub(super) core: Option<u8>,
    pub(super) seconds: u64,
    /// How many tracks it publishes, and the names of the first of them.
    pub(super) tracks: usize,
    pub(super) names: Vec<String>,
    pub(super) received: u64,
    pub(super) sent: u64,
    pub(super) estimate: Option<u64>,
    pub(super) round_trip_ms: Option<u128>,
    pub(super) lost_down: u16,
    pub(super) lost_up: u16,
    /// The gravest finding.
    pub(super) finding: Option<Finding>,
}

/// A session's page.
#[derive(Serialize)]
pub(super) struct Page {
    #[serde(flatten)]
    pub(super) line: SessionLine,
    pub(super) findings: Vec<Finding>,
    pub(super) published: Vec<Published>,
    pub(super) watched: Vec<Watched>,
    pub(super) samples: Vec<SampleLine>,
}

/// A track that it publishes.
#[derive(Serialize)]
pub(super) struct Published {
    pub(super) name: String,
    pub(super) kind: &'static str,
    pub(super) sends: bool,
    pub(super) encodings: Vec<Encoding>,
    /// In dBov.
    pub(super) level: Option<i16>,
}

/// An encoding of a track.
#[derive(Serialize)]
pub(super) struct Encoding {
    pub(super) rid: String,
    pub(super) rate: u32,
}

/// A track that it watches.
#[derive(Serialize)]
pub(super) struct Watched {
    pub(super) mid: String,
    pub(super) session: String,
    pub(super) track: String,
    pub(super) kind: &'static str,
    /// RID of the encoding that is shown; empty without simulcast, null while none is.
    pub(super) shown: Option<String>,
    pub(super) rate: u32,
    pub(super) encodings: Vec<Encoding>,
}

/// One report of its core.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SampleLine {
    /// Milliseconds since it came.
    age: u128,
    received: u64,
    sent: u64,
    estimate: Option<u64>,
    round_trip_ms: Option<u128>,
    queue_ms: u128,
    lost_down: u16,
    lost_up: u16,
    nacked: u32,
    key_frames: u32,
}

impl SampleLine {
    /// A sample as it is seen at `now`.
    pub(super) fn new(sample: &Sample, now: Instant) -> Self {
        let Sample { at, received, sent, path } = *sample;
        Self {
            age: now.saturating_duration_since(at).as_millis(),
            received,
            sent,
            estimate: path.estimate,
            round_trip_ms: path.round_trip.map(|trip| trip.as_millis()),
            queue_ms: path.queue.as_millis(),
            lost_down: path.lost_down,
            lost_up: path.lost_up,
            nacked: path.nacked,
            key_frames: path.key_frames,
        }
    }
}
