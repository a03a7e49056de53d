//! Loss-based estimate: tells loss the path always has from loss of a full queue.
//!
//! After libwebrtc's `loss_based_bwe_v2.cc` with its default parameters: a maximum-likelihood fit
//! of (inherent loss, loss-limited bandwidth) over the last observations, of 250 ms or more each.
//! Called once per feedback message. Must never limit a rate below what arrives.
//!
//! Differs for an SFU, which sends less than the estimate most of the time and repairs by
//! retransmission. Figures are worst cases of twelve simulated minutes at 3 Mbit/s:
//! - random loss of a tenth is carried, not of a twentieth; a full queue is also found by its delay;
//! - the inherent loss survives a bounded estimate, where upstream begins again from zero and takes
//!   the same loss for congestion: at 10 % the estimate averaged 0.63 of the capacity, now 0.83;
//! - a decrease holds for at most 5 s, not 60 s: the next layer may be far away, and is probed for;
//! - no padding is sent to recover. A probe's result is taken over ([`LossBased::on_probe`]); after a
//!   burst of 30 % four fifths are reached again after 0.6 s, without it after 3.9 s.

use super::feedback::Tally;
use super::{FLOOR_BPS, MAX_BPS};

/// Observations fitted, and until the first result.
const WINDOW: usize = 15;
const OBSERVATIONS_MIN: u64 = 3;
const OBSERVATION_US: i64 = 250_000;
/// Weight of an observation relative to the one after it.
const AGING: f64 = 0.9;
const CANDIDATE_FACTORS: [f64; 3] = [1.02, 1.0, 0.95];
const INHERENT_LOSS_MIN: f64 = 1e-3;
const INHERENT_LOSS_START: f64 = 0.01;
/// Inherent loss is at most this plus a share that shrinks with the bandwidth; likewise the
/// bandwidth under a given average loss (`InherentLossUpperBoundOffset`, upstream 0.05).
const LOSS_OFFSET: f64 = 0.10;
const LOSS_BALANCE_BPS: f64 = 100_000.0;
/// The limit does not rise while the average loss is above this times the inherent loss. Chosen:
/// upstream compares them as they are, which a path with a constant loss never passes.
const LOSS_SLACK: f64 = 1.2;
const NEWTON_STEP: f64 = 0.75;
/// Preference of high bandwidth, and the loss at which it ends (upstream 0.2).
const BIAS_PER_KBPS: f64 = 0.000_2;
const BIAS_PER_LOG_KBPS: f64 = 0.02;
const BIAS_LOSS: f64 = 0.35;
const BIAS_SMOOTHING: f64 = 0.002;
/// Growth while loss limits: of what arrives, and per window.
const RAMP_FACTOR: f64 = 1.5;
const RAMP_FACTOR_HELD: f64 = 1.2;
const HELD_FACTOR: f64 = 1.3;
const INCREASE_FACTOR: f64 = 1.3;
const INCREASE_WINDOW_US: i64 = 300_000;
/// How long a decrease holds; doubles from decrease to decrease (upstream up to 60 s).
const HOLD_US: i64 = 300_000;
const HOLD_MAX_US: i64 = 5_000_000;
/// An observation sent this much faster than the median is not discarded as an outlier.
const MEDIAN_FACTOR: f64 = 2.0;

/// What limits the rate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum LossState {
    /// Nothing here.
    Unlimited,
    /// Loss does, and the limit rises.
    Increasing,
    /// Loss does.
    Decreasing,
}

#[derive(Clone, Copy, Debug, Default)]
struct Observation {
    kilobytes: f64,
    lost_kilobytes: f64,
    rate_bps: f64,
}

#[derive(Clone, Copy, Debug)]
struct Channel {
    inherent_loss: f64,
    limit_bps: f64,
}

/// Kilobytes, weighted.
#[derive(Clone, Copy, Debug, Default)]
struct Weight {
    lost: f64,
    arrived: f64,
}

/// What holds for every candidate.
#[derive(Clone, Copy, Debug)]
struct Whole {
    weight: Weight,
    fastest_bps: f64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Partial {
    bytes: u64,
    lost_bytes: u64,
}

#[derive(Clone, Copy, Debug)]
struct Hold {
    until_us: Option<i64>,
    length_us: i64,
    rate_bps: f64,
}

const NO_HOLD: Hold = Hold { until_us: None, length_us: HOLD_US, rate_bps: f64::INFINITY };

/// Loss-based estimate of one path.
#[derive(Clone, Debug)]
pub(super) struct LossBased {
    /// Latest first.
    observations: [Observation; WINDOW],
    count: u64,
    partial: Partial,
    /// Send time up to which observations reach.
    observed_us: Option<i64>,
    best: Option<Channel>,
    average_loss: f64,
    acked_bps: Option<f64>,
    state: LossState,
    result_bps: f64,
    hold: Hold,
    /// When the present window of increase began, and its limit.
    increase: Option<(i64, f64)>,
}

impl LossBased {
    pub(super) fn new() -> Self {
        Self {
            observations: [Observation::default(); WINDOW],
            count: 0,
            partial: Partial::default(),
            observed_us: None,
            best: None,
            average_loss: 0.0,
            acked_bps: None,
            state: LossState::Unlimited,
            result_bps: f64::INFINITY,
            hold: NO_HOLD,
            increase: None,
        }
    }

    pub(super) fn state(&self) -> LossState {
        self.state
    }

    /// Share of the bytes lost lately, without the extremes.
    pub(super) fn average_loss(&self) -> f64 {
        self.average_loss
    }

    /// The limit in bit/s, if loss limits.
    pub(super) fn limit_bps(&self) -> Option<f64> {
        (self.state != LossState::Unlimited).then_some(self.result_bps)
    }

    /// Whether a decrease still holds.
    pub(super) fn is_held(&self, now_us: i64) -> bool {
        self.hold.until_us.is_some_and(|until_us| until_us > now_us)
    }

    /// Takes over a rate a probe got through with. When the loss is `over`, what was lost before it
    /// is forgotten: it would limit for as long as it is in the window, almost four seconds.
    pub(super) fn on_probe(&mut self, rate_bps: f64, over: bool) {
        let Some(best) = &mut self.best else { return };
        if self.state == LossState::Unlimited || rate_bps <= best.limit_bps {
            return;
        }
        if over {
            // A hold stays: loss that comes back with the rate is waited for longer each time.
            let (acked_bps, hold, observed_us) = (self.acked_bps, self.hold, self.observed_us);
            best.limit_bps = rate_bps;
            *self = Self { acked_bps, hold, observed_us, best: Some(*best), ..Self::new() };
        } else if self.state == LossState::Increasing {
            best.limit_bps = rate_bps;
            self.result_bps = self.result_bps.max(rate_bps);
            self.increase = None;
        }
    }

    /// Adds what a part of a feedback message says of losses.
    pub(super) fn add(&mut self, tally: &Tally) {
        self.partial.bytes += tally.bytes;
        self.partial.lost_bytes += tally.lost_bytes;
        self.partial.lost_bytes = self.partial.lost_bytes.saturating_sub(tally.found_bytes);
        if let (None, Some((first_us, _))) = (self.observed_us, tally.sent_us()) {
            self.observed_us = Some(first_us);
        }
    }

    /// Fits anew when an observation is complete. `sent_us` is the send time of the last packet
    /// reported.
    pub(super) fn update(
        &mut self,
        sent_us: i64,
        delay_bps: f64,
        acked_bps: Option<f64>,
        in_alr: bool,
    ) {
        self.acked_bps = acked_bps.or(self.acked_bps);
        let Some(now_us) = self.observe(sent_us) else { return };
        let before = self
            .best
            .unwrap_or(Channel { inherent_loss: INHERENT_LOSS_START, limit_bps: delay_bps });
        let best = self.limit_growth(before, self.fit(before, delay_bps, in_alr), now_us);
        let floor_bps = self.lower_bound_bps();
        let bounded_bps = floor_bps.max(best.limit_bps.min(self.upper_bound_bps()).min(delay_bps));
        self.best = Some(if bounded_bps < best.limit_bps {
            Channel { limit_bps: bounded_bps, ..best }
        } else {
            Channel { limit_bps: best.limit_bps.max(floor_bps), ..best }
        });
        self.decide(bounded_bps, delay_bps, now_us);
    }

    /// Completes an observation that is long enough; returns its end.
    fn observe(&mut self, sent_us: i64) -> Option<i64> {
        let length_us = sent_us - self.observed_us?;
        if length_us < OBSERVATION_US || self.partial.bytes == 0 {
            return None;
        }
        let Partial { bytes, lost_bytes } = std::mem::take(&mut self.partial);
        self.observations.rotate_right(1);
        self.observations[0] = Observation {
            kilobytes: bytes as f64 / 1_000.0,
            lost_kilobytes: lost_bytes.min(bytes) as f64 / 1_000.0,
            rate_bps: bytes as f64 * 8e6 / length_us as f64,
        };
        self.count += 1;
        self.observed_us = Some(sent_us);
        self.average_loss = self.average();
        Some(sent_us)
    }

    /// Moves the result and the state to a new bounded estimate.
    fn decide(&mut self, bounded_bps: f64, delay_bps: f64, now_us: i64) {
        if self.count < OBSERVATIONS_MIN {
            return;
        }
        let limited = bounded_bps < delay_bps && bounded_bps < MAX_BPS as f64;
        let held = self.is_held(now_us);
        if self.state == LossState::Decreasing && held && limited {
            self.hold.rate_bps = self.hold.rate_bps.max(self.lower_bound_bps());
            self.result_bps = self.hold.rate_bps.min(bounded_bps);
            return;
        }
        if limited && self.is_increase(self.result_bps, bounded_bps) {
            self.state = LossState::Increasing;
        } else if limited {
            if self.state != LossState::Decreasing {
                self.hold = Hold {
                    until_us: Some(now_us + self.hold.length_us),
                    length_us: (2 * self.hold.length_us).min(HOLD_MAX_US),
                    rate_bps: bounded_bps,
                };
            }
            self.state = LossState::Decreasing;
        } else {
            self.hold = NO_HOLD;
            self.state = LossState::Unlimited;
        }
        self.result_bps = bounded_bps;
        let expired =
            self.increase.is_none_or(|(start_us, _)| start_us + INCREASE_WINDOW_US < now_us);
        if self.state != LossState::Unlimited && expired {
            let best_bps = self.best.map_or(bounded_bps, |best| best.limit_bps);
            self.increase = Some((now_us, (best_bps * INCREASE_FACTOR).max(FLOOR_BPS as f64)));
        }
    }

    /// Whether the step is growth, or no step while growing, under a limit by loss.
    fn is_increase(&self, before_bps: f64, after_bps: f64) -> bool {
        self.state != LossState::Unlimited
            && (before_bps < after_bps
                || before_bps == after_bps && self.state == LossState::Increasing)
    }

    /// The candidate that explains the observations best.
    fn fit(&self, before: Channel, delay_bps: f64, in_alr: bool) -> Channel {
        let upper_bps = match self.increase {
            Some((_, limit_bps)) if self.state != LossState::Unlimited => limit_bps,
            _ => MAX_BPS as f64,
        };
        let ceiling_bps = before.limit_bps.max(upper_bps);
        let [more, same, less] = CANDIDATE_FACTORS.map(|factor| Some(before.limit_bps * factor));
        // In the application-limited region what arrives says nothing about the limit.
        let acked = self.acked_bps.filter(|_| !in_alr);
        let delay = (delay_bps > before.limit_bps).then_some(delay_bps);
        let whole = self.whole();
        let (mut best, mut best_objective) = (before, f64::NEG_INFINITY);
        for limit_bps in [more, same, less, acked, delay].into_iter().flatten() {
            let limit_bps = limit_bps.min(ceiling_bps);
            let inherent_loss = feasible(before.inherent_loss, limit_bps);
            let candidate = self.newton(Channel { inherent_loss, limit_bps }, &whole);
            let objective = self.objective(candidate, &whole);
            if objective > best_objective {
                best_objective = objective;
                best = candidate;
            }
        }
        best
    }

    /// Keeps the fit from growing without or ahead of evidence.
    fn limit_growth(&self, before: Channel, mut best: Channel, now_us: i64) -> Channel {
        if self.average_loss > LOSS_SLACK * best.inherent_loss {
            best.limit_bps = best.limit_bps.min(before.limit_bps);
        }
        if self.state == LossState::Unlimited {
            return best;
        }
        if let Some((start_us, limit_bps)) = self.increase
            && start_us + INCREASE_WINDOW_US > now_us
        {
            best.limit_bps = best.limit_bps.min(limit_bps);
        }
        if let Some(acked_bps) = self.acked_bps
            && self.is_increase(before.limit_bps, best.limit_bps)
        {
            let held = acked_bps < HELD_FACTOR * self.hold.rate_bps;
            let factor =
                if self.hold.rate_bps.is_finite() && held { RAMP_FACTOR_HELD } else { RAMP_FACTOR };
            best.limit_bps = before.limit_bps.max(best.limit_bps.min(factor * acked_bps));
            if self.state == LossState::Decreasing && best.limit_bps == before.limit_bps {
                // One bit more makes it an increase, which lets probes through.
                best.limit_bps += 1.0;
            }
        }
        best
    }

    /// One step towards the inherent loss that explains the observations best.
    fn newton(&self, channel: Channel, whole: &Whole) -> Channel {
        let (mut first, mut second) = (0.0, 0.0);
        self.weigh(channel, whole, |loss, Weight { lost, arrived }| {
            first += lost / loss - arrived / (1.0 - loss);
            second -= lost / (loss * loss) + arrived / ((1.0 - loss) * (1.0 - loss));
        });
        if second >= 0.0 {
            return channel;
        }
        let inherent_loss = channel.inherent_loss - NEWTON_STEP * first / second;
        Channel { inherent_loss: feasible(inherent_loss, channel.limit_bps), ..channel }
    }

    /// Log likelihood of the observations, with a preference of high bandwidth.
    fn objective(&self, channel: Channel, whole: &Whole) -> f64 {
        let kbps = channel.limit_bps / 1_000.0;
        let distance = BIAS_LOSS - self.average_loss;
        let bias = (BIAS_PER_KBPS * kbps + BIAS_PER_LOG_KBPS * (1.0 + kbps).ln()) * distance
            / (BIAS_SMOOTHING + distance.abs());
        let mut objective = 0.0;
        self.weigh(channel, whole, |loss, Weight { lost, arrived }| {
            objective += lost * loss.ln() + arrived * (1.0 - loss).ln();
            objective += bias * (lost + arrived);
        });
        objective
    }

    /// Calls `term` with the probability of a loss and the weighted kilobytes that it explains: one
    /// by one of the observations above the limit, and once of all others, which share theirs.
    fn weigh(&self, channel: Channel, whole: &Whole, mut term: impl FnMut(f64, Weight)) {
        if whole.fastest_bps <= channel.limit_bps {
            return term(loss_probability(channel, 0.0), whole.weight);
        }
        let mut below = Weight::default();
        for (weight, observation) in self.weighted() {
            let lost = weight * observation.lost_kilobytes;
            let arrived = weight * observation.kilobytes - lost;
            if observation.rate_bps > channel.limit_bps {
                term(loss_probability(channel, observation.rate_bps), Weight { lost, arrived });
            } else {
                below.lost += lost;
                below.arrived += arrived;
            }
        }
        term(loss_probability(channel, 0.0), below);
    }

    /// All observations together.
    fn whole(&self) -> Whole {
        let mut whole = Whole { weight: Weight::default(), fastest_bps: 0.0 };
        for (weight, observation) in self.weighted() {
            let lost = weight * observation.lost_kilobytes;
            whole.weight.lost += lost;
            whole.weight.arrived += weight * observation.kilobytes - lost;
            whole.fastest_bps = whole.fastest_bps.max(observation.rate_bps);
        }
        whole
    }

    /// The observations, latest first, with their weights.
    fn weighted(&self) -> impl Iterator<Item = (f64, Observation)> {
        let mut weight = 1.0 / AGING;
        let known = self.count.min(WINDOW as u64) as usize;
        self.observations.iter().take(known).map(move |observation| {
            weight *= AGING;
            (weight, *observation)
        })
    }

    /// Average loss; the observations with the least and the most loss are left out unless the
    /// latter was sent much faster than the others.
    fn average(&self) -> f64 {
        let (mut total, mut lost) = (0.0, 0.0);
        let (mut least, mut most) = ((1.0, 0.0, 0.0), (0.0, 0.0, 0.0));
        let mut most_rate_bps = 0.0;
        for (weight, observation) in self.weighted() {
            let bytes = weight * observation.kilobytes;
            let lost_bytes = weight * observation.lost_kilobytes;
            total += bytes;
            lost += lost_bytes;
            let share = if bytes > 0.0 { lost_bytes / bytes } else { 0.0 };
            if share > most.0 {
                most = (share, bytes, lost_bytes);
                most_rate_bps = observation.rate_bps;
            }
            if share < least.0 {
                least = (share, bytes, lost_bytes);
            }
        }
        let rest = total - least.1 - most.1;
        let burst = self.median_rate_bps() * MEDIAN_FACTOR <= most_rate_bps;
        if total <= 0.0 {
            return 0.0;
        }
        if self.count <= OBSERVATIONS_MIN || burst || rest <= 0.0 {
            return lost / total;
        }
        ((lost - least.2 - most.2) / rest).clamp(0.0, 1.0)
    }

    fn median_rate_bps(&self) -> f64 {
        let mut rates = [0.0; WINDOW];
        let mut count = 0;
        for (place, (_, observation)) in rates.iter_mut().zip(self.weighted()) {
            *place = observation.rate_bps;
            count += 1;
        }
        let rates = rates.get_mut(..count).unwrap_or_default();
        rates.sort_unstable_by(f64::total_cmp);
        let upper = rates.get(count / 2).copied().unwrap_or_default();
        let lower = rates.get(count.saturating_sub(1) / 2).copied().unwrap_or_default();
        (upper + lower) / 2.0
    }

    /// What the average loss allows at once.
    fn upper_bound_bps(&self) -> f64 {
        if self.average_loss > LOSS_OFFSET {
            return LOSS_BALANCE_BPS / (self.average_loss - LOSS_OFFSET);
        }
        MAX_BPS as f64
    }

    fn lower_bound_bps(&self) -> f64 {
        self.acked_bps.unwrap_or(0.0).max(FLOOR_BPS as f64)
    }
}

/// The inherent loss nearest to `inherent_loss` that the bandwidth allows.
fn feasible(inherent_loss: f64, limit_bps: f64) -> f64 {
    let upper = (LOSS_OFFSET + LOSS_BALANCE_BPS / limit_bps.max(1.0)).min(1.0);
    inherent_loss.max(INHERENT_LOSS_MIN).min(upper)
}

/// Probability that a byte sent at `rate_bps` is lost.
fn loss_probability(channel: Channel, rate_bps: f64) -> f64 {
    let mut loss = channel.inherent_loss;
    if rate_bps > channel.limit_bps {
        loss += (1.0 - loss) * (rate_bps - channel.limit_bps) / rate_bps;
    }
    loss.clamp(1e-6, 1.0 - 1e-6)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends at the limit, at most `rate_bps`, of which a share `lost` is lost, and updates every
    /// 50 ms; returns the time and what of `DELAY_BPS` is left.
    fn send(
        loss: &mut LossBased,
        from_us: i64,
        seconds: i64,
        rate_bps: f64,
        lost: f64,
    ) -> (i64, f64) {
        for step in 1..=seconds * 20 {
            let now_us = from_us + step * 50_000;
            let rate_bps = loss.limit_bps().map_or(rate_bps, |limit_bps| limit_bps.min(rate_bps));
            let bytes = rate_bps / 8.0 / 20.0;
            let lost_bytes = (bytes * lost) as u64;
            loss.add(&Tally::of_bytes(bytes as u64, lost_bytes, now_us - 50_000, now_us));
            loss.update(now_us, DELAY_BPS, Some(rate_bps * (1.0 - lost)), false);
        }
        let limit_bps = loss.limit_bps().unwrap_or(DELAY_BPS);
        (from_us + seconds * 1_000_000, limit_bps / DELAY_BPS)
    }

    const DELAY_BPS: f64 = 2e6;

    #[test]
    fn holds_at_five_percent_and_yields_at_a_third() {
        let mut loss = LossBased::new();
        let (at_us, left) = send(&mut loss, 0, 20, 1.9e6, 0.05);
        assert!(left > 0.95, "{left}");
        assert!((0.03..0.07).contains(&loss.average_loss()), "{}", loss.average_loss());
        let (at_us, left) = send(&mut loss, at_us, 4, 1.9e6, 0.3);
        assert!(left < 0.75 && loss.state() != LossState::Unlimited, "{left}");
        let (_, left) = send(&mut loss, at_us, 20, 1.9e6, 0.0);
        assert!(left > 0.95, "{left}");
    }

    #[test]
    fn carries_an_eighth() {
        let mut loss = LossBased::new();
        let (_, left) = send(&mut loss, 0, 30, 1.9e6, 0.12);
        assert!(left > 0.9, "{left}");
    }

    #[test]
    fn a_probe_without_loss_ends_the_limit() {
        let mut loss = LossBased::new();
        let (at_us, left) = send(&mut loss, 0, 10, 1.9e6, 0.5);
        assert!(left < 0.6);
        loss.on_probe(DELAY_BPS, false);
        assert_eq!(loss.state(), LossState::Decreasing, "the loss goes on");
        loss.on_probe(DELAY_BPS, true);
        let (_, left) = send(&mut loss, at_us, 2, 1.9e6, 0.0);
        assert_eq!((loss.state(), left), (LossState::Unlimited, 1.0));
    }
}
