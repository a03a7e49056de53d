//! What left under which transport-wide number, so that feedback about a number tells which packet of
//! which stream did not arrive. Fixed size; written per numbered packet, read per reported loss.

/// Packets remembered: half a second of 1,000 packets per second, more than feedback takes.
const TRACES: usize = 512;

/// A packet of a stream that can be sent again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Trace {
    /// SSRC of the stream (not of its retransmissions); 0 for what cannot be sent again.
    pub ssrc: u32,
    /// Sequence number in that stream.
    pub sequence: u16,
    /// How often it had been resent with this time; 0 for the first sending.
    pub attempt: u8,
}

/// The packets sent last.
pub(crate) struct Traces(Box<[(u16, Trace); TRACES]>);

impl Traces {
    /// None.
    pub(super) fn new() -> Self {
        Self(Box::new([(0, Trace { ssrc: 0, sequence: 0, attempt: 0 }); TRACES]))
    }

    /// A packet left under `number`.
    pub(crate) fn note(&mut self, number: u16, trace: Trace) {
        self.0[usize::from(number) % TRACES] = (number, trace);
    }

    /// The packet that left under `number`, if it can be sent again; it is told once.
    pub(crate) fn take(&mut self, number: u16) -> Option<Trace> {
        let (left, trace) = &mut self.0[usize::from(number) % TRACES];
        let found = *trace;
        if *left != number || found.ssrc == 0 {
            return None;
        }
        trace.ssrc = 0;
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_is_told_once_and_only_while_it_is_remembered() {
        let mut traces = Traces::new();
        assert_eq!(traces.take(0), None);
        let trace = Trace { ssrc: 7, sequence: 1, attempt: 2 };
        traces.note(65_535, trace);
        traces.note(0, Trace { ssrc: 0, ..trace });
        assert_eq!(traces.take(0), None, "cannot be sent again");
        assert_eq!(traces.take(65_535), Some(trace));
        assert_eq!(traces.take(65_535), None);
        traces.note(5, trace);
        traces.note(5 + TRACES as u16, Trace { sequence: 2, ..trace });
        assert_eq!(traces.take(5), None, "overwritten");
    }
}
