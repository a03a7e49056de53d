//! How a session's transport did lately: the last minutes of what its core reports every two seconds,
//! and which encoding each subscription shows. Written by the event thread (`events.rs`), read by the
//! dashboard; decides nothing. Bounded: a session that stays for a year keeps as much as a new one.

use std::collections::VecDeque;
use std::time::Instant;

use common::event::PathFigures;
use common::id::SubscriptionId;

/// Samples that are kept. Chosen: two minutes and some 8 KB per session that carries media.
pub const SAMPLES_MAX: usize = 60;
/// Subscriptions that are remembered: as many as two descriptions may have.
const SHOWN_MAX: usize = 512;

/// What is known of a transport.
#[derive(Debug, Default)]
pub struct Figures {
    samples: VecDeque<Sample>,
    noted: Option<Instant>,
    shown: VecDeque<(SubscriptionId, Option<u8>)>,
}

/// One report of a core.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// When it came.
    pub at: Instant,
    /// Bit/s from the peer since the report before.
    pub received: u64,
    /// Bit/s to it.
    pub sent: u64,
    /// Its path.
    pub path: PathFigures,
}

impl Figures {
    /// Notes a report of bytes and path. The first one has no time to be a rate over.
    pub(super) fn note(&mut self, received: u64, sent: u64, path: PathFigures, now: Instant) {
        let before = self.noted.replace(now);
        let Some(passed) = before.map(|before| now.saturating_duration_since(before)) else {
            return;
        };
        let rate = |bytes: u64| (bytes.saturating_mul(8_000)) / (passed.as_millis() as u64).max(1);
        if self.samples.len() >= SAMPLES_MAX {
            self.samples.pop_front();
        }
        let (received, sent) = (rate(received), rate(sent));
        self.samples.push_back(Sample { at: now, received, sent, path });
    }

    /// Notes what a subscription shows.
    pub(super) fn show(&mut self, id: SubscriptionId, encoding: Option<u8>) {
        self.shown.retain(|(known, _)| *known != id);
        if self.shown.len() >= SHOWN_MAX {
            self.shown.pop_front();
        }
        self.shown.push_back((id, encoding));
    }

    /// The samples, the oldest first.
    pub fn samples(&self) -> impl Iterator<Item = &Sample> {
        self.samples.iter()
    }

    /// The newest sample.
    pub fn newest(&self) -> Option<Sample> {
        self.samples.back().copied()
    }

    /// The encoding that a subscription shows, if it shows one.
    pub fn shown(&self, id: SubscriptionId) -> Option<u8> {
        self.shown.iter().find(|(known, _)| *known == id)?.1
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn rates_are_over_the_time_between_reports_and_the_memory_is_bounded() {
        let (start, path) = (Instant::now(), PathFigures::default());
        let mut figures = Figures::default();
        figures.note(9_999, 9_999, path, start);
        assert!(figures.newest().is_none(), "no time to be a rate over");
        for n in 1..200 {
            figures.note(250_000, 500_000, path, start + Duration::from_secs(2 * n));
        }
        let newest = figures.newest().map(|newest| (newest.received, newest.sent));
        assert_eq!(newest, Some((1_000_000, 2_000_000)));
        assert_eq!(figures.samples().count(), SAMPLES_MAX);
        for n in 0..2_000 {
            figures.show(SubscriptionId::new(n, 0), Some(1));
        }
        figures.show(SubscriptionId::new(1_999, 0), None);
        assert_eq!(figures.shown.len(), SHOWN_MAX);
        let shown = |n| figures.shown(SubscriptionId::new(n, 0));
        assert_eq!((shown(0), shown(1_998), shown(1_999)), (None, Some(1), None));
    }
}
