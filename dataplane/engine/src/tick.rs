//! PATH time: everything that happens because time passed. One tick serves a fifth of the peers
//! and feeds, so that each is served every 50 ms and periodic work never comes in one burst.

use std::time::{Duration, Instant};

use common::event::{CloseReason, Event};
use common::limits::TRACK_SILENCE;

use crate::host::Host;
use crate::kit::table::{FeedPlace, PeerPlace, TrackPlace};
use crate::publish::Voice;
use crate::tables::Tables;

/// Distance of two ticks.
pub(crate) const TICK: Duration = Duration::from_millis(10);
/// Ticks in which every peer is served once.
const PHASES: u32 = 5;
/// Rounds between two receiver reports to a peer: about one second (RFC 3550 section 6.2 allows
/// less than its 5 s for small groups).
const REPORT_ROUNDS: u32 = 20;
/// Rounds between two reports of a peer's traffic: two seconds.
const TRAFFIC_ROUNDS: u32 = 40;
/// Rounds between two looks at the key frames that subscriptions of a feed wait for.
const LAYER_ROUNDS: u32 = 5;
/// Rounds between two choices of what a peer's subscriptions show.
const ALLOCATE_ROUNDS: u32 = 2;
/// Distance of two looks at packets that wait for their pace.
const PACE: Duration = Duration::from_millis(5);

/// When what is due.
pub(crate) struct Ticker {
    next: Instant,
    next_pace: Instant,
    count: u32,
}

impl Ticker {
    /// Ticks from `now` on.
    pub(crate) fn new(now: Instant) -> Self {
        Self { next: now + TICK, next_pace: now, count: 0 }
    }

    /// When the next tick is due; far away while the core has nothing to look after.
    pub(crate) fn next(&self, tables: &Tables) -> Instant {
        if tables.peers.is_empty() && tables.feeds.is_empty() {
            return self.next + Duration::from_secs(1);
        }
        let next = match tables.paced.is_empty() {
            true => self.next,
            false => self.next.min(self.next_pace),
        };
        tables.channel_timers.first().map_or(next, |(due, _)| next.min(*due))
    }

    /// Serves one phase if its time has come.
    pub(crate) fn run(&mut self, tables: &mut Tables, now: Instant, host: &mut impl Host) {
        if now >= self.next_pace && !tables.paced.is_empty() {
            self.next_pace = now + PACE;
            tables.pace(now, host);
        }
        tables.on_channel_timers(now);
        if now < self.next {
            return;
        }
        tables.crossing.flush(host);
        // Ticks that were missed are not made up for.
        self.next = now + TICK;
        let (phase, round) = (self.count % PHASES, self.count / PHASES);
        self.count = self.count.wrapping_add(1);
        if phase == 0 && round.is_multiple_of(REPORT_ROUNDS) {
            tables.flows.sweep(now);
        }
        tables.ask_for_losses(now, host);
        let mut from = 0;
        while let Some(place) = tables.peers.next_place(from) {
            from = place.number() + 1;
            if place.number() % PHASES == phase {
                tables.serving = tables.peers.at(place).map(|peer| peer.id);
                serve_peer(tables, place, round, now, host);
            }
        }
        tables.serving = None;
        let mut from = 0;
        while let Some(place) = tables.feeds.next_place(from) {
            from = place.number() + 1;
            if place.number() % PHASES == phase {
                serve_feed(tables, place, round, now, host);
            }
        }
        tables.gauge();
    }
}

fn serve_peer(
    tables: &mut Tables,
    place: PeerPlace,
    round: u32,
    now: Instant,
    host: &mut impl Host,
) {
    let Some(peer) = tables.peers.at_mut(place) else { return };
    peer.ice.on_deadline(now);
    if peer.ice.expired(now) {
        return tables.close(place, CloseReason::ConsentExpired, now, host);
    }
    if let Err(reason) = peer.establish.on_deadline(now) {
        return tables.close(place, reason, now, host);
    }
    if !peer.establish.is_connected() {
        return tables.drive(place, None, now, host);
    }
    tables.expire_channels(place, now, host);
    let Some(peer) = tables.peers.at_mut(place) else { return };
    if (round + place.number() / PHASES).is_multiple_of(TRAFFIC_ROUNDS)
        && host.is_heard()
        && let Some(traffic) = peer.take_traffic()
    {
        host.event(traffic);
        tables.report_shown(place, host);
    }
    let Some(peer) = tables.peers.at_mut(place) else { return };
    if let Some(downlink) = &mut peer.downlink {
        downlink.congestion.on_tick(now);
        tables.pace_soon(place);
    }
    if (round + place.number() / PHASES).is_multiple_of(ALLOCATE_ROUNDS) {
        tables.allocate(place, now, host);
        tables.serve_subscriptions(place, now, host);
    }
    tables.report_arrivals(place, now, host);
    let turn = (round + place.number() / PHASES).is_multiple_of(REPORT_ROUNDS);
    if turn || tables.is_report_awaited(place) {
        tables.report_reception(place, now, host);
    }
    let mut next = 0;
    while let Some(track) = tables.peers.at(place).and_then(|peer| peer.tracks.get(next).copied()) {
        next += 1;
        tables.repeat_wishes(track, now, host);
        watch_silence(tables, track, now, host);
    }
}

fn watch_silence(tables: &mut Tables, place: TrackPlace, now: Instant, host: &mut impl Host) {
    let Some(track) = tables.tracks.at_mut(place) else { return };
    if !track.silent && now.saturating_duration_since(track.newest_at) >= TRACK_SILENCE {
        track.silent = true;
        track.active = false;
        host.event(Event::TrackSilent { track: track.id });
    }
    if let Some(Voice { level, speaking }) = track.speech.on_time(now) {
        host.event(Event::AudioLevel { track: track.id, level, speaking });
    }
    while host.is_heard()
        && let Some((rid, available)) = track.layer_change()
    {
        host.event(Event::Layer { track: track.id, rid, available });
    }
}

/// Ends a window of the rates, and asks again for key frames that subscriptions still wait for.
fn serve_feed(
    tables: &mut Tables,
    place: FeedPlace,
    round: u32,
    now: Instant,
    host: &mut impl Host,
) {
    let Some(feed) = tables.feeds.at_mut(place) else { return };
    feed.encodings.iter_mut().for_each(|encoding| encoding.meter.settle(now));
    if !(round + place.number() / PHASES).is_multiple_of(LAYER_ROUNDS) {
        return;
    }
    let mut next = 0;
    while let Some(subscription) =
        tables.feeds.at(place).and_then(|feed| feed.subscriptions.get(next).copied())
    {
        next += 1;
        let Some(subscription) = tables.subscriptions.at(subscription) else { continue };
        let connected = tables.peers.at(subscription.peer).is_some_and(|p| p.sealing().is_some());
        if let (true, Some(encoding)) = (connected, subscription.waits_for(now)) {
            tables.want_key_frame(place, encoding, now, host);
        }
    }
}
