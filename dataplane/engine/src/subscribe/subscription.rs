//! One subscription: its numbers, its payload types, what it waits for.

use std::time::Instant;

use common::command::{LayerChoice, PayloadMapping, SubscribeFacts};
use common::id::SubscriptionId;
use common::media::MediaKind;
use proto::payload::facts::Target;

use super::header::Title;
use super::layers::Layers;
use super::resend::Budget;
use super::rewrite::Rewrite;
use super::segment::Placed;
use crate::kit::clock::ClockPair;
use crate::kit::outbound::Numbers;
use crate::kit::packet::Packet;
use crate::kit::table::{FeedPlace, PeerPlace};

/// What a subscription does with a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Pick {
    /// Send it under these numbers.
    Forward(Numbers),
    /// It is not wanted, but its number is taken already: send padding under these numbers.
    Fill(Numbers),
    /// Not this one.
    Skip,
}

/// One subscription.
pub(crate) struct Subscription {
    /// Its name.
    pub id: SubscriptionId,
    /// The peer that receives it.
    pub peer: PeerPlace,
    /// The feed it shows.
    pub feed: FeedPlace,
    /// Audio or video.
    pub kind: MediaKind,
    /// SSRC of the outbound stream.
    pub ssrc: u32,
    /// SSRC of its retransmissions.
    pub rtx_ssrc: Option<u32>,
    /// What the headers of its packets begin with: MID and transport-wide number.
    pub title: Title,
    /// RTP clock rate in Hz.
    pub clock_rate: u32,
    /// Which encoding the control plane asked for.
    pub choice: LayerChoice,
    /// Numbers.
    pub rewrite: Rewrite,
    /// What is shown of the track.
    pub layers: Layers,
    /// Index of the next retransmission packet.
    pub rtx_index: u64,
    /// Bound of resends.
    pub budget: Budget,
    /// Packets from this index on were sent with the names in use now: sealed again they give the
    /// same bytes.
    pub same_since: u64,
    /// Packets sent, for sender reports.
    pub packets: u32,
    /// Payload bytes sent, for sender reports.
    pub octets: u32,
    /// The last sender report: middle 32 bits of its NTP timestamp, and when it left.
    pub reported: Option<(u32, Instant)>,
    /// Outbound index of the newest key frame's first packet: what is lost before it is not missed.
    pub newest_key: u64,
    /// Outbound index of the newest loss that could not be repaired.
    pub hopeless: Option<u64>,
    /// When a key frame was asked for because of one.
    pub rescued: Option<Instant>,
    /// The encoding shown that was last told to the control plane.
    pub told: Option<u8>,
    /// The source changed since: its clock is to be told.
    pub clock_due: bool,
    payloads: Vec<PayloadMapping>,
}

impl Subscription {
    /// A subscription that has sent nothing. `random` decides its first numbers.
    pub(crate) fn new(
        facts: &SubscribeFacts,
        peer: PeerPlace,
        feed: FeedPlace,
        random: u64,
        now: Instant,
    ) -> Self {
        Self {
            id: facts.subscription,
            peer,
            feed,
            kind: facts.kind,
            ssrc: facts.ssrc,
            rtx_ssrc: facts.rtx_ssrc,
            title: Title::new(facts.mid),
            clock_rate: facts.clock_rate,
            choice: facts.layers.clone(),
            rewrite: Rewrite::new(random as u16, (random >> 32) as u32),
            layers: Layers::new(facts.layers.preferred, now),
            rtx_index: (random >> 16) & 0x7fff,
            budget: Budget::new(),
            same_since: 0,
            packets: 0,
            octets: 0,
            reported: None,
            newest_key: 0,
            hopeless: None,
            rescued: None,
            told: None,
            clock_due: false,
            payloads: facts.payloads.clone(),
        }
    }

    /// Takes new facts over. Returns whether a key frame is needed now.
    pub(crate) fn update(&mut self, facts: &SubscribeFacts, feed: FeedPlace, now: Instant) -> bool {
        let moved = self.feed != feed;
        let renamed = *self.title.mid() != facts.mid;
        if renamed || self.payloads != facts.payloads {
            self.rename();
        }
        if renamed {
            self.title = Title::new(facts.mid);
        }
        self.feed = feed;
        self.clock_rate = facts.clock_rate;
        self.payloads.clone_from(&facts.payloads);
        self.choice.clone_from(&facts.layers);
        if moved {
            self.layers.restart(facts.layers.preferred, now);
            self.rewrite.forget_source();
            return true;
        }
        facts.layers.preferred.is_some_and(|encoding| self.want(encoding, Target::ALL, now))
    }

    /// The names that packets carry (payload types, MID, ids of header extensions, marker bits of
    /// other layers) are others from now on.
    pub(crate) fn rename(&mut self) {
        self.same_since = self.rewrite.next();
    }

    /// Wants to show the layers `target` of `encoding`. Returns whether a key frame is needed.
    pub(crate) fn want(&mut self, encoding: u8, target: Target, now: Instant) -> bool {
        self.layers.aim(target, now);
        self.layers.want(encoding, self.rewrite.encoding(), now)
    }

    /// Sends nothing from the next picture on, or starts again at the next key frame.
    pub(crate) fn pause(&mut self, paused: bool, now: Instant) {
        self.layers.pause(paused, now);
    }

    /// The encoding whose key frame this subscription waits for, if it waits.
    pub(crate) fn waits_for(&self, now: Instant) -> Option<u8> {
        self.layers.waits_for(now).filter(|_| self.kind == MediaKind::Video)
    }

    /// Decides about `packet`; `clock` knows the clocks of the feed's encodings. Cost: no
    /// allocation; a scan of the payload types. Always inlined: the call itself was a fifth of it.
    #[inline(always)]
    pub(crate) fn pick(
        &mut self,
        packet: &Packet,
        clock: impl Fn(u8) -> Option<ClockPair>,
        now: Instant,
    ) -> Pick {
        if !self.rewrite.shows(packet) && !self.begins_with(packet, clock, now) {
            return Pick::Skip;
        }
        let Some((payload_type, skipped)) = self.leaves_as(packet) else { return Pick::Skip };
        if self.rewrite.is_newest(packet) {
            if self.layers.stops(packet) {
                self.rewrite.forget_source();
                // Nothing that came before will be shown once the next source begins.
                self.newest_key = self.rewrite.next();
                return Pick::Skip;
            }
            if self.layers.advance(packet, now) {
                self.rename();
            }
        }
        if !self.layers.includes(packet) {
            let late = self.rewrite.leave_out(packet, now);
            return late.map_or(Pick::Skip, |placed| {
                Pick::Fill(Numbers {
                    marker: false,
                    ..self.numbers(packet, placed, (payload_type, 0))
                })
            });
        }
        match self.rewrite.forward(packet, now) {
            Some(placed) if packet.frame.key => {
                self.newest_key = self.newest_key.max(placed.index);
                Pick::Forward(self.numbers(packet, placed, (payload_type, skipped)))
            }
            Some(placed) => Pick::Forward(self.numbers(packet, placed, (payload_type, skipped))),
            None => Pick::Skip,
        }
    }

    /// The numbers under which `packet` was sent as `index`, for sending it again; None when it was
    /// not sent, or would not be the same.
    pub(crate) fn again(&self, packet: &Packet, index: u64) -> Option<Numbers> {
        if index >= self.same_since && !self.layers.includes(packet) {
            return None;
        }
        let placed = self.rewrite.placed(packet, index)?;
        Some(self.numbers(packet, placed, self.leaves_as(packet)?))
    }

    /// The numbers of the next packet of the retransmission stream, if it has one. Its payload type
    /// goes with that of `packet`.
    pub(crate) fn next_rtx(&mut self, packet: &Packet, like: Numbers) -> Option<Numbers> {
        let mapping = self.payloads.iter().find(|mapping| mapping.from == packet.payload_type)?;
        let (payload_type, ssrc) = mapping.rtx.zip(self.rtx_ssrc)?;
        let index = self.rtx_index;
        self.rtx_index += 1;
        Some(Numbers { ssrc, payload_type, index, ..like })
    }

    /// Numbers for a packet of padding on the retransmission stream, if it has one.
    pub(crate) fn next_padding(&mut self) -> Option<Numbers> {
        let payload_type = self.payloads.iter().find_map(|mapping| mapping.rtx)?;
        let ssrc = self.rtx_ssrc?;
        let index = self.rtx_index;
        self.rtx_index += 1;
        Some(Numbers {
            ssrc,
            payload_type,
            index,
            timestamp: self.rewrite.newest_timestamp(),
            marker: false,
            shift: Default::default(),
            skipped: 0,
        })
    }

    /// Whether its packets may carry transport-wide numbers. A packet that may be sent again under
    /// its own index must not: the second one would have another number and so other bytes.
    pub(crate) fn may_be_numbered(&self) -> bool {
        self.rtx_ssrc.is_some() || self.kind == MediaKind::Audio
    }

    /// Counts a packet that was sent for the first time.
    pub(crate) fn on_sent(&mut self, payload_len: usize) {
        self.packets = self.packets.wrapping_add(1);
        self.octets = self.octets.wrapping_add(payload_len as u32);
        self.budget.earn();
    }

    /// Payload type towards the subscriber, and how many bytes at the start of the payload are left
    /// out: a subscriber without RED gets the primary block (RFC 2198).
    #[inline]
    fn leaves_as(&self, packet: &Packet) -> Option<(u8, u16)> {
        match self.payloads.first() {
            Some(first) if first.from == packet.payload_type => Some((first.to, 0)),
            _ => self.leaves_otherwise(packet),
        }
    }

    /// The same for what is not the first of the payload types.
    fn leaves_otherwise(&self, packet: &Packet) -> Option<(u8, u16)> {
        let to = |from| Some(self.payloads.iter().find(|mapping| mapping.from == from)?.to);
        if let Some(to) = to(packet.payload_type) {
            return Some((to, 0));
        }
        let (inner, offset) = packet.primary?;
        Some((to(inner)?, offset))
    }

    fn numbers(
        &self,
        packet: &Packet,
        placed: Placed,
        (payload_type, skipped): (u8, u16),
    ) -> Numbers {
        Numbers {
            ssrc: self.ssrc,
            payload_type,
            index: placed.index,
            timestamp: placed.timestamp,
            marker: self.layers.marker(packet),
            shift: placed.shift,
            skipped,
        }
    }

    /// Whether the source changes with this packet; if so the new segment has begun.
    fn begins_with(
        &mut self,
        packet: &Packet,
        clock: impl Fn(u8) -> Option<ClockPair>,
        now: Instant,
    ) -> bool {
        let shown = self.rewrite.encoding();
        if self.leaves_as(packet).is_none() {
            return false;
        }
        let begins = self.layers.may_begin(packet, shown, now);
        if !begins && self.kind == MediaKind::Video || self.layers.paused() {
            return false;
        }
        let aligned = self.aligned(packet, shown, clock);
        self.rewrite.begin(self.feed, packet, (self.clock_rate, aligned), now);
        self.layers.begun(packet);
        self.clock_due = true;
        self.rename();
        true
    }

    /// The timestamp of `packet` in the outbound clock, by the sender reports of the encoding that
    /// is shown and of its own.
    fn aligned(
        &self,
        packet: &Packet,
        shown: Option<u8>,
        clock: impl Fn(u8) -> Option<ClockPair>,
    ) -> Option<u32> {
        let (old, new) = (clock(shown?)?, clock(packet.encoding)?);
        self.rewrite.clock(new.translate(packet.timestamp, old, self.clock_rate))
    }
}

#[cfg(test)]
mod tests;
