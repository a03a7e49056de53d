//! Which layers each subscription of a peer gets from the peer's bandwidth. A subscription has a
//! ladder of rungs, each an encoding with some of its layers and the rate that costs; everyone starts
//! on the lowest, then all are raised rung by rung, in turn, as far as the estimate goes. So tracks
//! have equal priority, and audio comes first.

use std::cmp::Ordering;
use std::time::Instant;

use common::command::LayerChoice;
use common::limits::ENCODINGS_MAX;
use common::media::MediaKind;
use proto::payload::facts::{SPATIAL_MAX, TEMPORAL_MAX, Target};

use super::Tables;
use crate::history::Index;
use crate::host::Host;
use crate::kit::table::{PeerPlace, SubscriptionPlace};
use crate::route::Feed;
use crate::subscribe::Subscription;

/// Most rungs of one ladder: every spatial layer of every encoding, and the temporal layers of one.
const RUNGS_MAX: usize = ENCODINGS_MAX * SPATIAL_MAX as usize + TEMPORAL_MAX as usize;
/// A layer that adds less than this part of the rate (in 1/16) is no rung of its own.
const STEP_MIN: u64 = 1;
/// A higher rung than the present one must fit with this much to spare (in 1/16): else small changes
/// of rates and estimate make layers flap.
const SPARE: u64 = 1;
/// The lowest rung is kept while at least this part (in 1/16) of it fits; below, on a path under
/// strain, video pauses so that audio gets through.
const LOWEST_MIN: u64 = 10;
/// What costs more than so many times what fits is not sent until its successor begins: it would only
/// fill a queue in front of that.
const CUT: u64 = 2;
/// Probing goes on until the estimate is this many times what everything costs.
const HEADROOM: u64 = 2;
/// Part of the bandwidth that is used, for more than temporal layers, while a queue drains that a fall
/// left on the path.
const DRAINING: u64 = 2;
/// Share (in 1/64) of an estimate for what rates do not count: authentication tags, RTCP.
const OVERHEAD: u64 = 1;
/// What is shown stays until it costs this much (in 1/16) more than there is: estimates waver.
const TOLERANCE: u64 = 2;

/// One choice: an encoding, its layers, what they cost in bit/s.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Rung {
    encoding: u8,
    target: Target,
    rate: u64,
}

/// The choices of one subscription, the cheapest first.
struct Ladder {
    rungs: [Rung; RUNGS_MAX],
    len: usize,
}

impl Ladder {
    fn new() -> Self {
        let none = Rung { encoding: 0, target: Target::ALL, rate: 0 };
        Self { rungs: [none; RUNGS_MAX], len: 0 }
    }

    fn push(&mut self, rung: Rung) {
        if let Some(place) = self.rungs.get_mut(self.len) {
            *place = rung;
            self.len += 1;
        }
    }

    fn rungs(&self) -> &[Rung] {
        &self.rungs[..self.len]
    }

    /// The choices that `choice` leaves of what `feed` has alive. Empty: nothing is known yet, or
    /// nothing may be shown.
    fn of(feed: &Feed<Index>, choice: &LayerChoice, now: Instant) -> Self {
        let mut ladder = Self::new();
        let alive = |encoding: u8| feed.is_alive(encoding, now);
        let Some(preferred) = choice.preferred else {
            let count = feed.encodings.len().min(ENCODINGS_MAX) as u8;
            (0..count).filter(|encoding| alive(*encoding)).for_each(|encoding| {
                ladder.push_encoding(feed, encoding);
            });
            ladder.rungs[..ladder.len].sort_unstable_by_key(|rung| rung.rate);
            ladder.push_temporal(feed);
            return ladder;
        };
        // From the preferred one on through the order, then from its beginning.
        let place = choice.order.iter().position(|encoding| *encoding == preferred).unwrap_or(0);
        let (before, after) = choice.order.split_at(place.min(choice.order.len()));
        let shown = if alive(preferred) {
            Some(preferred)
        } else {
            let others = after.iter().chain(before).filter(|_| choice.step_aside);
            others.copied().find(|encoding| alive(*encoding))
        };
        let shown = shown.unwrap_or(preferred);
        let below = after.iter().copied().skip_while(|encoding| *encoding != shown).skip(1);
        let below = below.filter(|encoding| choice.step_down && alive(*encoding));
        for encoding in std::iter::once(shown).chain(below) {
            ladder.push_whole(feed, encoding);
        }
        ladder.rungs[..ladder.len].reverse();
        ladder
    }

    fn push_whole(&mut self, feed: &Feed<Index>, encoding: u8) {
        let state = feed.encodings.get(usize::from(encoding));
        let rate = state.map_or(0, |state| state.meter.rate(Target::ALL));
        let target = state.map_or(Target::ALL, |state| state.meter.least_of(Target::ALL));
        self.push(Rung { encoding, target, rate });
    }

    /// An encoding with one, two, ... of its spatial layers.
    fn push_encoding(&mut self, feed: &Feed<Index>, encoding: u8) {
        let Some(state) = feed.encodings.get(usize::from(encoding)) else { return };
        let whole = state.meter.rate(Target::ALL);
        let mut below = 0;
        for spatial in 0..SPATIAL_MAX {
            let target = Target::new(spatial, TEMPORAL_MAX - 1);
            let rate = state.meter.rate(target);
            if rate > below + whole * STEP_MIN / 16 {
                let target = state.meter.least_of(target);
                self.push(Rung { encoding, target, rate });
                below = rate;
            }
        }
    }

    /// Below the lowest rung: its temporal layers one by one.
    fn push_temporal(&mut self, feed: &Feed<Index>) {
        let Some(lowest) = self.rungs().first().copied() else { return };
        let Some(state) = feed.encodings.get(usize::from(lowest.encoding)) else { return };
        let mut above = lowest.rate;
        for temporal in (0..lowest.target.temporal()).rev() {
            let target = Target::new(lowest.target.spatial(), temporal);
            let rate = state.meter.rate(target);
            if rate > 0 && rate + lowest.rate * STEP_MIN / 16 < above {
                self.push(Rung { target, rate, ..lowest });
                self.rungs[..self.len].rotate_right(1);
                above = rate;
            }
        }
    }
}

/// One subscription while bandwidth is given out.
pub(crate) struct Share {
    subscription: SubscriptionPlace,
    ladder: Ladder,
    /// Place of its present rung, if it shows one.
    present: Option<usize>,
    chosen: usize,
}

impl Share {
    fn new(
        place: SubscriptionPlace,
        subscription: &Subscription,
        feed: &Feed<Index>,
        now: Instant,
    ) -> Self {
        let ladder = Ladder::of(feed, &subscription.choice, now);
        let shown = (subscription.layers.wanted(), subscription.layers.wanted_target());
        let present =
            ladder.rungs().iter().position(|rung| (Some(rung.encoding), rung.target) == shown);
        Self { subscription: place, ladder, present, chosen: 0 }
    }

    fn rate(&self) -> u64 {
        self.ladder.rungs().get(self.chosen).map_or(0, |rung| rung.rate)
    }

    fn top(&self) -> u64 {
        self.ladder.rungs().last().map_or(0, |rung| rung.rate)
    }

    /// How the choice differs from what is shown.
    fn moves(&self) -> Ordering {
        self.present.map_or(Ordering::Equal, |present| self.chosen.cmp(&present))
    }

    /// Whether the next rung adds temporal layers only: a picture without them is a slow one, and what
    /// they cost is little.
    fn is_temporal(&self) -> bool {
        let step = self.ladder.rungs().get(self.chosen..).unwrap_or_default();
        matches!(step, [from, to, ..] if from.encoding == to.encoding
            && from.target.spatial() == to.target.spatial())
    }

    /// What going one rung up must have free, and what it will use; nothing where that is above
    /// what is shown and the brake is not `open`.
    fn next(&self, open: bool) -> Option<(u64, u64)> {
        let next = self.ladder.rungs().get(self.chosen + 1)?;
        let rises = self.present.is_none_or(|present| self.chosen + 1 > present);
        if rises && !open && self.present.is_some() {
            return None;
        }
        let more = next.rate.saturating_sub(self.rate());
        let needed = match rises {
            true => more + next.rate * SPARE / 16,
            false => more.saturating_sub(next.rate * TOLERANCE / 16),
        };
        Some((needed, more))
    }
}

impl Tables {
    /// Chooses what each subscription of a peer shows. Cost: the ladders of its video subscriptions;
    /// called a few times a second per peer.
    pub(crate) fn allocate(&mut self, place: PeerPlace, now: Instant, host: &mut impl Host) {
        let Some(peer) = self.peers.at_mut(place) else { return };
        let draining = peer.downlink.as_mut().is_some_and(|downlink| downlink.drains(now));
        let peer = &*peer;
        let estimate = peer.downlink.as_ref().map(|downlink| downlink.congestion.estimate());
        let mut shares = std::mem::take(&mut self.shares);
        shares.clear();
        let (mut fixed, mut lowest, mut top, mut measured) = (0, 0, 0, true);
        for place in &peer.subscriptions {
            let Some(subscription) = self.subscriptions.at(*place) else { continue };
            let Some(feed) = self.feeds.at(subscription.feed) else { continue };
            if subscription.kind == MediaKind::Audio {
                fixed += feed.encodings.first().map_or(0, |state| state.meter.rate(Target::ALL));
                continue;
            }
            // What is sent without numbers is not measured: then the estimate says nothing.
            measured &= subscription.may_be_numbered();
            let share = Share::new(*place, subscription, feed, now);
            lowest += share.rate();
            top += share.top();
            shares.push(share);
        }
        let budget = estimate
            .filter(|_| measured)
            .map_or(u64::MAX, |rate| (rate - rate * OVERHEAD / 64).saturating_sub(fixed));
        let open = peer.downlink.as_ref().is_none_or(|downlink| downlink.brake.is_open(now));
        let cautious = if draining { budget / DRAINING } else { budget };
        let used = raise(&mut shares, (budget, cautious), lowest, open);
        let (short, fits) = (used * LOWEST_MIN / 16 > budget, used <= budget);
        let downlink = self.peers.at_mut(place).and_then(|peer| peer.downlink.as_mut());
        let pause = downlink.is_some_and(|downlink| downlink.pauses(short, fits, now));
        for share in &shares {
            self.show(place, share, pause, now, host);
        }
        self.shares = shares;
        let Some(peer) = self.peers.at_mut(place) else { return };
        let given = if pause { fixed } else { fixed + used };
        let path = &mut peer.path;
        (path.least, path.given, path.most) = (fixed + lowest, given, fixed + top);
        path.paused = pause;
        if let Some(downlink) = &mut peer.downlink {
            let moved = |way: Ordering| self.shares.iter().any(|share| share.moves() == way);
            if moved(Ordering::Less) {
                downlink.brake.on_fall(now);
            } else if moved(Ordering::Greater) {
                downlink.brake.on_raise(now);
            }
            // Room for a key frame, and for what a publisher may add.
            let enough = downlink.congestion.estimate() >= (fixed + top) * HEADROOM;
            let wanted = if pause || used < top || !enough { (fixed + top) * 3 / 2 } else { 0 };
            downlink.congestion.set_demand(given, wanted);
        }
    }

    /// Lets a subscription show what it was given.
    fn show(
        &mut self,
        place: PeerPlace,
        share: &Share,
        pause: bool,
        now: Instant,
        host: &mut impl Host,
    ) -> Option<()> {
        let rung = *share.ladder.rungs().get(share.chosen)?;
        let subscription = self.subscriptions.at_mut(share.subscription)?;
        let pause = pause && !share.is_pinned(&subscription.choice);
        if pause != subscription.layers.paused() {
            subscription.pause(pause, now);
            self.counters.layer_changes += 1;
        }
        let before = (subscription.layers.wanted(), subscription.layers.wanted_target());
        let needs_key_frame = subscription.want(rung.encoding, rung.target, now);
        if before != (Some(rung.encoding), rung.target) && before.0.is_some() {
            self.counters.layer_changes += 1;
        }
        if let Some(shown) = subscription.rewrite.encoding().filter(|shown| *shown != rung.encoding)
        {
            let shown = self.feeds.at(subscription.feed)?.encodings.get(usize::from(shown));
            let rate = shown.map_or(0, |state| state.meter.rate(Target::ALL));
            let downlink = self.peers.at_mut(place).and_then(|peer| peer.downlink.as_mut());
            if let Some(downlink) = downlink.filter(|downlink| downlink.is_full())
                && rate > rung.rate * CUT
                && subscription.layers.cut()
            {
                downlink.forget(share.subscription);
            }
        }
        let feed = subscription.feed;
        if needs_key_frame && !pause && self.peers.at(place)?.sealing().is_some() {
            self.want_key_frame(feed, rung.encoding, now, host);
        }
        Some(())
    }
}

impl Share {
    /// Whether the application insists on what is shown.
    fn is_pinned(&self, choice: &LayerChoice) -> bool {
        choice.preferred.is_some() && !choice.step_down
    }
}

/// Raises all shares rung by rung while the budget lasts, for more than temporal layers the cautious
/// one; returns what they use together.
fn raise(shares: &mut [Share], budget: (u64, u64), lowest: u64, open: bool) -> u64 {
    let mut used = lowest;
    let mut raised = true;
    while raised {
        raised = false;
        for share in shares.iter_mut() {
            let Some((needed, more)) = share.next(open) else { continue };
            let budget = if share.is_temporal() { budget.0 } else { budget.1 };
            if used.saturating_add(needed) <= budget {
                share.chosen += 1;
                used += more;
                raised = true;
            }
        }
    }
    used
}

#[cfg(test)]
mod tests;
