//! Who speaks: the audio levels that a publisher writes into its packets (RFC 6464), smoothed, and
//! turned into the few changes worth an event. Called per audio packet that carries a level, and
//! periodically, because who is silent may send nothing (discontinuous transmission). The level is
//! in the header and in clear, also where the payload is encrypted end to end.

use std::time::{Duration, Instant};

/// Louder than this (in -dBov, so below it) is the beginning of speech, and quieter than the other
/// its end. Chosen: speech at a usual microphone gain lies at 20 to 45, rooms at 60 and more.
const STARTS_AT: u8 = 45;
const ENDS_AT: u8 = 55;
/// Speech ended this long ago when it ended: the pause between two sentences is no end.
const PAUSE: Duration = Duration::from_millis(500);
/// Least time from an end of speech to the next beginning, and from any event to one that tells a
/// level only: a few events a second at most, and none that delays a beginning.
const TURN_INTERVAL: Duration = Duration::from_millis(333);
const LEVEL_INTERVAL: Duration = Duration::from_secs(1);
/// A change of level worth an event, in dB.
const STEP: u8 = 6;
/// Shares of a packet in the mean, as powers of two: a syllable of 160 ms raises it, a gap of 320 ms
/// lowers it (packets of 20 ms).
const RISE: u32 = 3;
const FALL: u32 = 4;
/// The level of silence.
const SILENCE: u8 = 127;

/// What [`Speech`] has to say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Voice {
    /// Smoothed level in -dBov: 0 is the loudest, 127 silence.
    pub level: u8,
    /// Whether that is speech.
    pub speaking: bool,
}

/// The level of one audio track.
pub(crate) struct Speech {
    /// Smoothed, in 1/256 dB below overload.
    mean: u32,
    /// When it was last loud enough for speech.
    loud_at: Option<Instant>,
    /// Arrival of the last level.
    heard_at: Option<Instant>,
    told: Voice,
    told_at: Option<Instant>,
    turned_at: Option<Instant>,
}

impl Default for Speech {
    fn default() -> Self {
        Self {
            mean: u32::from(SILENCE) << 8,
            loud_at: None,
            heard_at: None,
            told: Voice { level: SILENCE, speaking: false },
            told_at: None,
            turned_at: None,
        }
    }
}

impl Speech {
    /// A packet with the level element `element` arrived (its first byte: the sender's opinion
    /// whether it is voice, which browsers set on everything, and the level). Returns what changed.
    pub(crate) fn on_level(&mut self, element: &[u8], now: Instant) -> Option<Voice> {
        let level = u32::from(element.first()? & 0x7f) << 8;
        if level < self.mean {
            self.mean -= (self.mean - level) >> RISE;
        } else {
            self.mean += (level - self.mean) >> FALL;
        }
        self.heard_at = Some(now);
        let loud = if self.told.speaking { ENDS_AT } else { STARTS_AT };
        if self.mean >> 8 <= u32::from(loud) {
            self.loud_at = Some(now);
        }
        self.judge(now)
    }

    /// Time passed, perhaps without packets. Returns what changed.
    pub(crate) fn on_time(&mut self, now: Instant) -> Option<Voice> {
        let heard_at = self.heard_at?;
        if now.saturating_duration_since(heard_at) >= PAUSE {
            self.mean = u32::from(SILENCE) << 8;
            self.heard_at = None;
        }
        self.judge(now)
    }

    fn judge(&mut self, now: Instant) -> Option<Voice> {
        let level = (self.mean >> 8) as u8;
        let rested = |at: Option<Instant>, interval| {
            at.is_none_or(|at| now.saturating_duration_since(at) >= interval)
        };
        let speaking = match self.told.speaking {
            true => !rested(self.loud_at, PAUSE),
            false => level <= STARTS_AT && rested(self.turned_at, TURN_INTERVAL),
        };
        let turned = speaking != self.told.speaking;
        let moved = level.abs_diff(self.told.level) > STEP && rested(self.told_at, LEVEL_INTERVAL);
        if !turned && !moved {
            return None;
        }
        if turned {
            self.turned_at = Some(now);
        }
        self.told = Voice { level, speaking };
        self.told_at = Some(now);
        Some(self.told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PACKET: Duration = Duration::from_millis(20);

    /// Says `level` for `packets`; what was told, each with the packet's number.
    fn say(speech: &mut Speech, at: &mut Instant, level: u8, packets: u32) -> Vec<(u32, Voice)> {
        let mut told = Vec::new();
        for number in 0..packets {
            *at += PACKET;
            told.extend(speech.on_level(&[0x80 | level], *at).map(|voice| (number, voice)));
        }
        told
    }

    #[test]
    fn speech_starts_within_a_syllable_and_ends_after_a_pause() {
        let (mut speech, mut at) = (Speech::default(), Instant::now());
        let room = say(&mut speech, &mut at, 70, 100);
        assert!(room.iter().all(|(_, voice)| !voice.speaking), "{room:?}");
        let started = say(&mut speech, &mut at, 25, 100);
        let (packet, _) = started.iter().find(|(_, v)| v.speaking).expect("speech");
        assert!(*packet <= 10, "{started:?}");
        assert!(say(&mut speech, &mut at, 70, 20).iter().all(|(_, v)| v.speaking), "a pause");
        assert!(say(&mut speech, &mut at, 25, 50).iter().all(|(_, v)| v.speaking));
        let ended = say(&mut speech, &mut at, 70, 100);
        let (packet, _) = ended.iter().find(|(_, v)| !v.speaking).expect("an end");
        assert!((25..=60).contains(packet), "{ended:?}");
    }

    #[test]
    fn a_speaker_that_stops_sending_stops_speaking() {
        let (mut speech, mut at) = (Speech::default(), Instant::now());
        say(&mut speech, &mut at, 20, 200);
        assert_eq!(speech.on_time(at + PAUSE / 2), None);
        let end = speech.on_time(at + PAUSE).expect("an end");
        assert_eq!(end, Voice { level: SILENCE, speaking: false });
        assert_eq!(speech.on_time(at + PAUSE * 10), None, "told once");
    }

    #[test]
    fn a_level_between_the_two_borders_keeps_its_state() {
        let (mut speech, mut at) = (Speech::default(), Instant::now());
        assert!(say(&mut speech, &mut at, 50, 200).iter().all(|(_, v)| !v.speaking));
        say(&mut speech, &mut at, 30, 100);
        assert!(say(&mut speech, &mut at, 50, 200).iter().all(|(_, v)| v.speaking));
    }

    #[test]
    fn an_even_level_is_told_once() {
        let (mut speech, mut at) = (Speech::default(), Instant::now());
        say(&mut speech, &mut at, 30, 200);
        assert_eq!(say(&mut speech, &mut at, 33, 2_000), []);
    }

    proptest! {
        #[test]
        fn events_are_few_and_tell_changes(
            elements in prop::collection::vec(
                (prop::collection::vec(any::<u8>(), 0..3), 0u64..200), 1..500),
        ) {
            let (mut speech, mut now) = (Speech::default(), Instant::now());
            let (mut before, mut at) = (Speech::default().told, Vec::new());
            for (element, wait) in elements {
                now += Duration::from_millis(wait);
                let told = [speech.on_time(now), speech.on_level(&element, now)];
                for voice in told.into_iter().flatten() {
                    prop_assert!(voice.level <= SILENCE);
                    prop_assert_ne!(voice, before);
                    before = voice;
                    at.push(now);
                }
            }
            for few in at.windows(5) {
                prop_assert!(few[4] - few[0] >= Duration::from_secs(1), "{:?}", few);
            }
        }
    }
}
