//! Control messages that come with a received datagram: what room they get, and reading them. Used
//! by both drivers; total over any bytes. Asked for at open (`socket.rs`): the kernel's receive
//! stamp. Another message needs its room added to [`CONTROL_LEN`] and its place in the walk of [`stamp_of`].

use std::time::{Duration, SystemTime};

/// A message's header: its length (header included), level and type (cmsg(3)).
const HEADER: usize = size_of::<libc::cmsghdr>();
/// What messages and their headers are padded to.
const ALIGN: usize = size_of::<usize>();
/// Room for the control messages of one datagram: the receive stamp and one more small message
/// (a kernel that has less room than it wants cuts the messages, never the datagram).
pub(crate) const CONTROL_LEN: usize = (HEADER + size_of::<libc::timespec>()) + (HEADER + 2 * ALIGN);
// The stamp is read as two 64-bit numbers, which is what 64-bit kernels write.
const _: () = assert!(size_of::<libc::timespec>() == 16 && size_of::<libc::cmsghdr>() == 16);

/// The kernel's receive stamp among `control`, the messages as the kernel wrote them; None when
/// there is none or it makes no sense.
pub(crate) fn stamp_of(mut control: &[u8]) -> Option<SystemTime> {
    loop {
        let len = usize::from_ne_bytes(*control.first_chunk()?);
        let level = i32::from_ne_bytes(*control.get(8..)?.first_chunk()?);
        let kind = i32::from_ne_bytes(*control.get(12..)?.first_chunk()?);
        let value = control.get(HEADER..len)?;
        if (level, kind) == (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) {
            return stamp(value);
        }
        control = control.get(len.checked_next_multiple_of(ALIGN)?..)?;
    }
}

/// Seconds and nanoseconds since the epoch, as in struct timespec.
fn stamp(value: &[u8]) -> Option<SystemTime> {
    let seconds = i64::from_ne_bytes(*value.first_chunk()?);
    let nanos = i64::from_ne_bytes(*value.get(8..)?.first_chunk()?);
    let nanos = u32::try_from(nanos).ok().filter(|nanos| *nanos < 1_000_000_000)?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::new(u64::try_from(seconds).ok()?, nanos))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    /// One message, padded as the kernel does.
    fn message(level: i32, kind: i32, value: &[u8]) -> Vec<u8> {
        let mut bytes = (HEADER + value.len()).to_ne_bytes().to_vec();
        bytes.extend(level.to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(ALIGN), 0);
        bytes
    }

    fn stamped(seconds: i64, nanos: i64) -> Vec<u8> {
        let value = [seconds.to_ne_bytes(), nanos.to_ne_bytes()].concat();
        message(libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS, &value)
    }

    #[test]
    fn the_stamp_is_found_alone_and_behind_other_messages() {
        let expected = SystemTime::UNIX_EPOCH + Duration::new(1_700_000_000, 123_456_789);
        let alone = stamped(1_700_000_000, 123_456_789);
        assert_eq!(stamp_of(&alone), Some(expected));
        let behind = [message(libc::SOL_UDP, 104, &[1, 0, 0]), alone].concat();
        assert!(behind.len() <= CONTROL_LEN);
        assert_eq!(stamp_of(&behind), Some(expected));
    }

    #[test]
    fn no_stamp_is_none() {
        let whole = stamped(5, 6);
        for len in 0..whole.len() {
            assert_eq!(stamp_of(&whole[..len]), None, "{len} bytes");
        }
        assert_eq!(stamp_of(&message(libc::SOL_UDP, libc::SCM_TIMESTAMPNS, &[0; 16])), None);
        for (seconds, nanos) in [(-1, 0), (0, -1), (0, 1_000_000_000)] {
            assert_eq!(stamp_of(&stamped(seconds, nanos)), None, "{seconds} s {nanos} ns");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_to_an_end(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            stamp_of(&bytes);
        }

        /// Headers that look right with lengths that are not, zero among them.
        #[test]
        fn any_lengths_are_read_to_an_end(
            lengths in prop::collection::vec(0usize..40, 0..8),
        ) {
            let bytes: Vec<u8> =
                lengths.iter().flat_map(|len| [len.to_ne_bytes(), [0; 8]].concat()).collect();
            stamp_of(&bytes);
        }
    }
}
