//! Counter blocks to Prometheus text, and the counts of the HTTP server.
//!
//! The cores publish their blocks by themselves; a scrape copies them and never asks a core. Labels
//! are small sets: no name or address ever becomes one, and of ids only those of apps.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use common::counters::{Counters, Drop, TcpClose};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::prometheus_text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::Registry;

use crate::state::Node;
use crate::store::usage::Amount;

/// The registry and what is counted here.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct RequestLabels {
    endpoint: &'static str,
    status: u16,
}

impl Metrics {
    /// Registers the node's collector, the HTTP counters and the end of the certificate.
    pub(crate) fn new(node: Arc<Node>, expiry: Option<Gauge<i64, AtomicI64>>) -> Self {
        let mut registry = Registry::with_prefix("fanfall");
        let requests = Family::<RequestLabels, Counter>::default();
        registry.register("http_requests", "HTTP requests answered", requests.clone());
        if let Some(expiry) = expiry {
            let help = "When the certificate of the HTTP server expires, in seconds since 1970";
            registry.register("certificate_expiry_seconds", help, expiry);
        }
        registry.register_collector(Box::new(NodeCollector(node)));
        Self { registry, requests }
    }

    /// Counts one answered request.
    pub(crate) fn count(&self, endpoint: &'static str, status: u16) {
        self.requests.get_or_create(&RequestLabels { endpoint, status }).inc();
    }

    /// The exposition text.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        if encode(&mut text, &self.registry).is_err() {
            tracing::error!("metrics could not be written");
        }
        text
    }
}

/// One counter of the block: name, help, place.
type Column = (&'static str, &'static str, fn(&Counters) -> u64);

const COUNTERS: [Column; 27] = [
    ("datagrams_in", "Datagrams received, handed-over ones included", |c| c.datagrams_in),
    ("bytes_in", "UDP payload bytes received", |c| c.bytes_in),
    ("datagrams_out", "Datagrams sent", |c| c.datagrams_out),
    ("bytes_out", "UDP payload bytes sent", |c| c.bytes_out),
    ("sends", "UDP messages handed to the kernel, each of one datagram or several", |c| c.sends),
    ("media_in", "Authentic RTP packets of published tracks received", |c| c.media_in),
    ("control_in", "STUN, DTLS and RTCP datagrams consumed", |c| c.control_in),
    ("handed_over", "Datagrams handed to the home core of their peer", |c| c.handed_over),
    ("media_out", "RTP packets forwarded to subscribers", |c| c.media_out),
    ("resent", "RTP packets sent again because of a NACK", |c| c.resent),
    ("frames_out", "Media frames sent to other cores", |c| c.frames_out),
    ("frames_in", "Media frames received from other cores", |c| c.frames_in),
    ("key_frame_requests", "Key frames asked of publishers", |c| c.key_frame_requests),
    ("nacked", "Sequence numbers named in NACKs of subscribers", |c| c.nacked),
    ("nacked_late", "Those of them that came too late to be of use", |c| c.nacked_late),
    ("asked", "Sequence numbers named in NACKs to publishers", |c| c.asked),
    ("repaired", "Lost packets of publishers that came when asked for", |c| c.repaired),
    ("channel_in", "Messages of published data channels received", |c| c.channel_in),
    ("channel_out", "Messages of data channels sent, replies included", |c| c.channel_out),
    ("channel_dropped", "Messages of data channels dropped", |c| c.channel_dropped),
    ("sctp_rejected", "SCTP packets refused", |c| c.sctp_rejected),
    ("handshakes", "Handshakes that ended in a connected peer", |c| c.handshakes),
    ("tcp_accepted", "TCP connections accepted", |c| c.tcp.accepted),
    ("tcp_adopted", "TCP connections taken over from another core", |c| c.tcp.adopted),
    ("tcp_refused", "TCP connections refused at a bound", |c| c.tcp.refused),
    ("tcp_dropped", "Datagrams that found their TCP connection's queue full", |c| {
        c.tcp.datagrams_dropped
    }),
    ("tcp_dropped_bytes", "Bytes of those datagrams", |c| c.tcp.bytes_dropped),
];

const GAUGES: [Column; 6] = [
    ("tcp_open", "Open TCP connections", |c| c.tcp.open),
    ("peers", "Peers at home on the core", |c| c.peers),
    ("tracks", "Published tracks of the core's peers", |c| c.tracks),
    ("subscriptions", "Subscriptions of the core's peers", |c| c.subscriptions),
    ("channels", "Published data channels of the core's peers", |c| c.channels),
    ("channel_subscriptions", "Subscriptions of data channels", |c| c.channel_subscriptions),
];

#[derive(Debug)]
struct NodeCollector(Arc<Node>);

impl Collector for NodeCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let blocks = self.0.plane().counters();
        for (name, help, value) in COUNTERS {
            per_core(&mut encoder, name, help, MetricType::Counter, blocks.iter().map(value))?;
        }
        for (name, help, value) in GAUGES {
            per_core(&mut encoder, name, help, MetricType::Gauge, blocks.iter().map(value))?;
        }
        drops(&mut encoder, &blocks)?;
        tcp_closed(&mut encoder, &blocks)?;
        handshake_time(&mut encoder, &blocks)?;
        self.lanes(&mut encoder)?;
        self.apps(&mut encoder)?;
        gauge(&mut encoder, "event_streams", "Open event streams", self.0.events.streams())?;
        self.webhooks(&mut encoder)?;
        let help = "Sessions that did not end, connected or not";
        gauge(&mut encoder, "sessions", help, self.0.session_count())?;
        let help = "Published tracks on which somebody speaks";
        gauge(&mut encoder, "active_speakers", help, self.0.active_speakers())
    }
}

impl NodeCollector {
    fn apps(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let totals = self.0.meter.totals();
        for (name, help, value) in USAGE {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (app, used) in &totals {
                let labels = [("app", app.as_str())];
                ConstCounter::new(value(used)).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }

    fn webhooks(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let events = &self.0.events;
        let counts = events.counts();
        for (name, help, value) in [
            ("webhook_delivered", "Events that webhooks took", &counts.delivered),
            ("webhook_failed", "Attempts to deliver an event that failed", &counts.failed),
            ("webhook_dropped", "Events that were never delivered", &counts.dropped),
        ] {
            let metric = ConstCounter::new(value.load(Ordering::Relaxed));
            metric.encode(encoder.encode_descriptor(name, help, None, MetricType::Counter)?)?;
        }
        gauge(encoder, "webhook_pending", "Events that wait for webhooks", events.pending())
    }

    fn lanes(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let depths = self.0.plane().lane_depths();
        let of = |lane: &[usize]| lane.iter().map(|depth| *depth as u64).collect::<Vec<_>>();
        let (commands, frames) = (of(&depths.commands), of(&depths.frames));
        let help = "Commands waiting for the core";
        per_core(encoder, "command_lane_depth", help, MetricType::Gauge, commands.into_iter())?;
        let help = "Frames of other cores waiting for the core";
        per_core(encoder, "frame_lane_depth", help, MetricType::Gauge, frames.into_iter())?;
        let help = "Events waiting for the control plane";
        gauge(encoder, "event_lane_depth", help, depths.events)?;
        let lost = ConstCounter::new(depths.events_lost);
        let help = "Events lost to a full lane; anything but 0 is a fault of the program";
        lost.encode(encoder.encode_descriptor("events_lost", help, None, MetricType::Counter)?)
    }
}

/// One counter of what an app uses: name, help, value.
type UsageColumn = (&'static str, &'static str, fn(&Amount) -> f64);

const USAGE: [UsageColumn; 3] = [
    ("app_ingress_bytes", "UDP payload bytes received from an app's sessions", |used| {
        used.ingress as f64
    }),
    ("app_egress_bytes", "UDP payload bytes sent to an app's sessions", |used| used.egress as f64),
    ("app_track_seconds", "Seconds of tracks published by an app's sessions", |used| {
        used.track_ms as f64 / 1e3
    }),
];

/// Writes one value of the whole node.
fn gauge(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: usize,
) -> Result<(), std::fmt::Error> {
    let family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    ConstGauge::new(value as i64).encode(family)
}

/// Writes one value per core.
fn per_core(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    kind: MetricType,
    values: impl Iterator<Item = u64>,
) -> Result<(), std::fmt::Error> {
    let mut family = encoder.encode_descriptor(name, help, None, kind)?;
    for (core, value) in values.enumerate() {
        let labels = [("core", core.to_string())];
        let metric = family.encode_family(&labels)?;
        match kind {
            MetricType::Gauge => ConstGauge::new(value as i64).encode(metric)?,
            _ => ConstCounter::new(value).encode(metric)?,
        }
    }
    Ok(())
}

fn drops(encoder: &mut DescriptorEncoder<'_>, blocks: &[Counters]) -> Result<(), std::fmt::Error> {
    let help = "Datagrams and packets dropped, by reason";
    let mut family = encoder.encode_descriptor("drops", help, None, MetricType::Counter)?;
    for (core, block) in blocks.iter().enumerate() {
        for (reason, label) in Drop::ALL {
            let labels = [("core", core.to_string()), ("reason", label.to_owned())];
            ConstCounter::new(block.dropped(reason)).encode(family.encode_family(&labels)?)?;
        }
    }
    Ok(())
}

fn tcp_closed(
    encoder: &mut DescriptorEncoder<'_>,
    blocks: &[Counters],
) -> Result<(), std::fmt::Error> {
    let help = "TCP connections ended, by reason";
    let mut family = encoder.encode_descriptor("tcp_closed", help, None, MetricType::Counter)?;
    for (core, block) in blocks.iter().enumerate() {
        for (reason, label) in TcpClose::ALL {
            let labels = [("core", core.to_string()), ("reason", label.to_owned())];
            ConstCounter::new(block.tcp.closed(reason)).encode(family.encode_family(&labels)?)?;
        }
    }
    Ok(())
}

fn handshake_time(
    encoder: &mut DescriptorEncoder<'_>,
    blocks: &[Counters],
) -> Result<(), std::fmt::Error> {
    let help = "Seconds from the first authenticated check to a connected peer, summed";
    let name = "handshake_seconds";
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (core, block) in blocks.iter().enumerate() {
        let seconds = block.handshake_us as f64 / 1e6;
        let labels = [("core", core.to_string())];
        ConstCounter::new(seconds).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}
