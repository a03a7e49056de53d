//! Data Channel Establishment Protocol (RFC 8832): the two messages, as far as a forwarder needs
//! them.
//!
//! Called by `mod.rs`. Channels are negotiated outside the association, so an OPEN is answered and
//! otherwise means nothing here. Total over hostile bytes.

use crate::cursor::{u8_at, u16_at};

/// DATA_CHANNEL_ACK (RFC 8832 section 5.2).
pub(super) const ACK: &[u8] = &[0x02];
/// Message type of DATA_CHANNEL_OPEN (RFC 8832 section 8.2.1).
const OPEN: u8 = 0x03;
/// Length of an OPEN before its label.
const OPEN_HEADER: usize = 12;

/// Whether a message is a well-formed DATA_CHANNEL_OPEN (RFC 8832 section 5.1).
pub(super) fn is_open(message: &[u8]) -> bool {
    let lengths = (u16_at(message, 8), u16_at(message, 10));
    let (Some(label), Some(protocol)) = lengths else { return false };
    let whole = OPEN_HEADER + usize::from(label) + usize::from(protocol);
    u8_at(message, 0) == Some(OPEN) && message.len() == whole
}

/// A DATA_CHANNEL_OPEN of a reliable, ordered channel without protocol name.
pub(super) fn open(label: &'static str) -> Vec<u8> {
    let mut message = vec![OPEN, 0, 0, 0, 0, 0, 0, 0];
    message.extend_from_slice(&(label.len() as u16).to_be_bytes());
    message.extend_from_slice(&[0, 0]);
    message.extend_from_slice(label.as_bytes());
    message
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_a_whole_open_is_one() {
        let message = open("server-events");
        assert!(is_open(&message));
        for len in 0..message.len() {
            assert!(!is_open(&message[..len]), "{len} bytes");
        }
        assert!(!is_open(ACK));
        let mut long = message.clone();
        long.push(0);
        assert!(!is_open(&long));
        let mut other = message;
        other[0] = 0x02;
        assert!(!is_open(&other));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>) {
            is_open(&bytes);
        }
    }
}
