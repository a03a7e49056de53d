//! The audio level header extension (RFC 6464): how loud a packet is, and whether someone speaks.
//!
//! Called per inbound audio packet for active-speaker detection. Must stay total over short elements.

/// What the element of one packet says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AudioLevel {
    /// Whether the publisher's encoder took the packet for speech.
    pub voice: bool,
    /// Level below the loudest possible in dB: 0 is the loudest, 127 is silence.
    pub below_dbov: u8,
}

impl AudioLevel {
    /// Reads the data of the element; in the two-byte form padding may follow (RFC 6464 section 3).
    pub fn parse(data: &[u8]) -> Option<Self> {
        let octet = *data.first()?;
        Some(Self { voice: octet & 0x80 != 0, below_dbov: octet & 0x7F })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bit_is_voice_and_the_rest_the_level() {
        let cases = [(0x80, true, 0), (0x7F, false, 127), (0xAD, true, 45), (0x2D, false, 45)];
        for (octet, voice, below_dbov) in cases {
            assert_eq!(AudioLevel::parse(&[octet]), Some(AudioLevel { voice, below_dbov }));
            assert_eq!(AudioLevel::parse(&[octet, 0]), Some(AudioLevel { voice, below_dbov }));
        }
        assert_eq!(AudioLevel::parse(&[]), None);
    }
}
