//! What an inbound stream remembers: the newest index, and which of the recent ones were seen.
//!
//! Owned by the engine per SSRC, passed to `Open`. Changes only through `mark`, which `Open` calls
//! after a packet's tag was verified; an estimate or a check never changes anything.
//! RFC 3711 section 3.3.1 (index estimate), section 3.3.2 and appendix A (replay list).

/// Inbound RTP state of one SSRC. `Default` is a stream of which nothing was received.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct InboundStream {
    window: Window<RTP_WORDS>,
}

impl InboundStream {
    /// A stream of which nothing was received yet.
    pub const fn new() -> InboundStream {
        InboundStream { window: Window::new() }
    }

    /// Newest authenticated index (rollover count * 2^16 + sequence number), if any.
    pub const fn newest(&self) -> Option<u64> {
        self.window.newest()
    }

    /// The 48-bit index a packet with `sequence` most likely has (RFC 3711 section 3.3.1).
    pub(super) fn estimate(&self, sequence: u16) -> u64 {
        let Some(newest) = self.newest() else {
            return u64::from(sequence);
        };
        let rollover = newest >> 16;
        let last = newest as u16;
        let rollover = if last < HALF && sequence.saturating_sub(last) > HALF {
            // From before the last wrap; where there was none the sequence is a jump ahead.
            rollover.saturating_sub(1)
        } else if last >= HALF && sequence < last - HALF {
            rollover + 1
        } else {
            rollover
        };
        rollover << 16 | u64::from(sequence)
    }

    /// Whether `index` was not seen yet and is not older than the replay list reaches.
    pub(super) fn is_new(&self, index: u64) -> bool {
        index < INDEX_END && self.window.is_new(index)
    }

    /// Records an authenticated packet.
    pub(super) fn mark(&mut self, index: u64) {
        self.window.mark(index);
    }
}

/// Inbound RTCP state of one sender SSRC (RFC 3711 section 3.2.3: the SRTCP index is counted per
/// SSRC, here the SSRC in bytes 4 to 8 of the compound packet).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct InboundRtcp {
    window: Window<RTCP_WORDS>,
}

impl InboundRtcp {
    /// A sender of which nothing was received yet.
    pub const fn new() -> InboundRtcp {
        InboundRtcp { window: Window::new() }
    }

    /// Newest authenticated 31-bit index, if any.
    pub const fn newest(&self) -> Option<u64> {
        self.window.newest()
    }

    /// Whether `index` was not seen yet and is not older than the replay list reaches.
    pub(super) fn is_new(&self, index: u32) -> bool {
        self.window.is_new(u64::from(index))
    }

    /// Records an authenticated packet.
    pub(super) fn mark(&mut self, index: u32) {
        self.window.mark(u64::from(index));
    }
}

/// Sliding window of `WORDS * 64` indexes that ends at the newest one. Bit `index % size` tells
/// whether `index` was seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Window<const WORDS: usize> {
    /// One beyond the newest index; zero when nothing was seen.
    end: u64,
    seen: [u64; WORDS],
}

impl<const WORDS: usize> Window<WORDS> {
    const SIZE: u64 = WORDS as u64 * 64;

    const fn new() -> Self {
        Window { end: 0, seen: [0; WORDS] }
    }

    const fn newest(&self) -> Option<u64> {
        self.end.checked_sub(1)
    }

    fn is_new(&self, index: u64) -> bool {
        if index >= self.end {
            return true;
        }
        if self.end - index > Self::SIZE {
            return false;
        }
        let (word, bit) = Self::place(index);
        self.seen[word] & bit == 0
    }

    fn mark(&mut self, index: u64) {
        debug_assert!(self.is_new(index));
        if index >= self.end {
            self.forget(index);
            self.end = index + 1;
        }
        let (word, bit) = Self::place(index);
        self.seen[word] |= bit;
    }

    /// Clears the places of the indexes between the newest and `index`, which reuse those of
    /// indexes that fall out of the window.
    fn forget(&mut self, index: u64) {
        let skipped = index - self.end;
        if skipped >= Self::SIZE {
            self.seen = [0; WORDS];
            return;
        }
        let mut at = self.end;
        while at <= index {
            let (word, bit) = Self::place(at);
            if bit == 1 && index - at >= 64 {
                self.seen[word] = 0;
                at += 64;
            } else {
                self.seen[word] &= !bit;
                at += 1;
            }
        }
    }

    fn place(index: u64) -> (usize, u64) {
        let place = index % Self::SIZE;
        ((place / 64) as usize, 1 << (place % 64))
    }
}

impl<const WORDS: usize> Default for Window<WORDS> {
    fn default() -> Self {
        Window::new()
    }
}

/// 1,024 packets. Chosen: a publisher without RTX resends under the old sequence number one round
/// trip later, 200 ms at 3,000 packets per second are 600; RFC 3711 section 3.3.2 asks for 64.
const RTP_WORDS: usize = 16;
/// 128 compound packets; reports are seldom and never resent.
const RTCP_WORDS: usize = 2;
/// Half of the sequence number space (RFC 3711 section 3.3.1).
const HALF: u16 = 1 << 15;
/// Indexes have 48 bits; beyond them new keys are needed (RFC 3711 section 9.2).
const INDEX_END: u64 = 1 << 48;

#[cfg(test)]
mod tests {
    use super::*;

    fn stream_at(index: u64) -> InboundStream {
        let mut stream = InboundStream::new();
        stream.mark(index);
        stream
    }

    #[test]
    fn estimate_follows_the_rfc_around_every_border() {
        let roc = 5u64 << 16;
        for (newest, sequence, expected) in [
            (roc, 1, roc + 1),
            (roc, 0x8000, roc + 0x8000),
            (roc, 0x8001, roc - 0x1_0000 + 0x8001),
            (roc + 3, 0xFFFF, roc - 1),
            (roc + 0x7FFF, 0xFFFF, roc + 0xFFFF),
            (roc + 0x8000, 0, roc),
            (roc + 0x8001, 0, roc + 0x1_0000),
            (roc + 0xFFFF, 0, roc + 0x1_0000),
            (roc + 0xFFFF, 0x7FFE, roc + 0x1_7FFE),
            (roc + 0xFFFF, 0x7FFF, roc + 0x7FFF),
            (3, 0xFFFF, 0xFFFF),
        ] {
            assert_eq!(
                stream_at(newest).estimate(sequence),
                expected,
                "newest {newest:#x}, sequence {sequence:#x}"
            );
        }
        assert_eq!(InboundStream::new().estimate(0xFFF0), 0xFFF0);
    }

    #[test]
    fn window_agrees_with_a_set() {
        let mut window = Window::<2>::new();
        let mut seen = std::collections::BTreeSet::new();
        let mut state = 1u64;
        for _ in 0..20_000 {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let jump = (state >> 33) % 300;
            let index = (window.end + jump).saturating_sub(200);
            let newest = seen.last().copied().unwrap_or(0);
            let expected = !seen.contains(&index) && index + 128 > newest;
            assert_eq!(window.is_new(index), expected, "{index} at {newest}");
            if expected {
                window.mark(index);
                seen.insert(index);
            }
        }
    }
}
