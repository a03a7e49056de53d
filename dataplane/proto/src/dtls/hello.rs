//! Reassembly of the ClientHello, before any library sees it.
//!
//! Called by `Dtls::on_datagram` until the message is complete. Memory is bounded by
//! [`CLIENT_HELLO_MAX`], work is linear in the bytes received, whatever the pieces look like:
//! single bytes, reversed, overlapping, repeated. The result is handed on as one record with one
//! whole message, so the library never reassembles what an unknown sender cut up.
//!
//! RFC 6347 sections 4.1 and 4.2.2 and 4.2.3, RFC 9147 sections 4 and 5.5.

use common::limits::CLIENT_HELLO_MAX;

use super::DtlsError;
use super::record::{Fragment, HANDSHAKE, Record, records};

/// The pieces of one ClientHello.
#[derive(Default)]
pub(super) struct Assembly {
    body: Vec<u8>,
    /// One bit per byte of `body`: received.
    covered: Vec<u64>,
    missing: usize,
}

impl Assembly {
    /// Adds the pieces of one datagram and returns the message's body when it is complete.
    /// `Rejected` when the datagram holds no piece of a ClientHello.
    pub(super) fn on_datagram(&mut self, datagram: &[u8]) -> Result<Option<Vec<u8>>, DtlsError> {
        let mut found = false;
        for record in records(datagram) {
            let Some(fragment) = client_hello(record?) else {
                continue;
            };
            for fragment in fragment {
                let fragment = fragment?;
                if !is_first_hello(&fragment) {
                    return Err(DtlsError::Rejected);
                }
                found = true;
                if self.add(&fragment) {
                    return Ok(Some(std::mem::take(self).body));
                }
            }
        }
        if found { Ok(None) } else { Err(DtlsError::Rejected) }
    }

    /// Adds one piece; true when nothing is missing any more. A piece of a message with another
    /// length starts over: it may be the genuine one after a forged one.
    fn add(&mut self, fragment: &Fragment<'_>) -> bool {
        if self.body.len() != fragment.total {
            *self = Assembly {
                body: vec![0; fragment.total],
                covered: vec![0; fragment.total.div_ceil(64)],
                missing: fragment.total,
            };
        }
        let end = fragment.offset + fragment.bytes.len();
        let Some(place) = self.body.get_mut(fragment.offset..end) else {
            return false;
        };
        place.copy_from_slice(fragment.bytes);
        for at in fragment.offset..end {
            if let Some(word) = self.covered.get_mut(at / 64) {
                let bit = 1 << (at % 64);
                self.missing -= usize::from(*word & bit == 0);
                *word |= bit;
            }
        }
        self.missing == 0
    }
}

/// The fragments of a record that can hold a ClientHello.
fn client_hello(
    record: Record<'_>,
) -> Option<impl Iterator<Item = Result<Fragment<'_>, DtlsError>>> {
    match record {
        Record::Plain { kind: HANDSHAKE, epoch: 0, .. } => Some(record.fragments()),
        _ => None,
    }
}

/// Whether a fragment belongs to the first ClientHello of a handshake.
fn is_first_hello(fragment: &Fragment<'_>) -> bool {
    fragment.kind == CLIENT_HELLO
        && fragment.sequence == 0
        && (CLIENT_HELLO_MIN..=CLIENT_HELLO_MAX).contains(&fragment.total)
}

/// See [`super::is_client_hello`].
pub(super) fn is_client_hello(datagram: &[u8]) -> bool {
    let Some(Ok(record)) = records(datagram).next() else {
        return false;
    };
    client_hello(record)
        .and_then(|mut fragments| fragments.next())
        .is_some_and(|fragment| fragment.is_ok_and(|fragment| is_first_hello(&fragment)))
}

/// One record that carries the message whole. The message is what both versions hash (RFC 6347
/// section 4.2.6, RFC 9147 section 5.2), so cutting it otherwise than the client did is sound.
pub(super) fn canonical(body: &[u8]) -> Option<Vec<u8>> {
    let length = u32::try_from(body.len()).ok()?.to_be_bytes();
    let record_length = u16::try_from(body.len() + 12).ok()?.to_be_bytes();
    let mut record = Vec::with_capacity(body.len() + 25);
    record.extend_from_slice(&[HANDSHAKE, 0xFE, 0xFD, 0, 0, 0, 0, 0, 0, 0, 0]);
    record.extend_from_slice(&record_length);
    record.push(CLIENT_HELLO);
    record.extend_from_slice(&length[1..]);
    record.extend_from_slice(&[0, 0, 0, 0, 0]);
    record.extend_from_slice(&length[1..]);
    record.extend_from_slice(body);
    Some(record)
}

/// Handshake message type (RFC 5246 section 7.4).
pub(super) const CLIENT_HELLO: u8 = 1;
/// Version, random, and the shortest of each list (RFC 5246 section 7.4.1.2, RFC 6347 section
/// 4.2.1): 2 + 32 + 1 + 1 + 4 + 2.
const CLIENT_HELLO_MIN: usize = 42;
