//! Records and handshake fragments as views, and the filter in front of the library.
//!
//! `records` and `Record::fragments` are used by `hello.rs`; `admit` by `Dtls::on_datagram` for
//! everything after the other side's ClientHello or our own. Total functions over hostile bytes: nothing here may panic or
//! allocate. The filter drops what no honest client sends and the library would take as the end of
//! the association: alerts and application data in clear, wrong versions, lengths past the end,
//! messages that do not belong into the plaintext of a handshake.
//!
//! RFC 6347 sections 4.1 and 4.2.2, RFC 9147 section 4.

use common::command::DtlsRole;

use super::hello::CLIENT_HELLO;
use super::{DtlsError, Version};

/// One record of a datagram.
#[derive(Clone, Copy, Debug)]
pub(super) enum Record<'a> {
    /// With the full header: plaintext of any version, or ciphertext of DTLS 1.2.
    Plain { kind: u8, epoch: u16, body: &'a [u8] },
    /// With the unified header: ciphertext of DTLS 1.3.
    Unified,
}

/// One piece of a handshake message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fragment<'a> {
    pub(super) kind: u8,
    pub(super) sequence: u16,
    /// Length of the whole message.
    pub(super) total: usize,
    pub(super) offset: usize,
    pub(super) bytes: &'a [u8],
}

/// The records of a datagram. Ends with an error where the bytes are none.
pub(super) fn records(datagram: &[u8]) -> impl Iterator<Item = Result<Record<'_>, DtlsError>> {
    cut(datagram, take_record)
}

impl<'a> Record<'a> {
    /// The handshake fragments of a plaintext record. Ends with an error where the bytes are none.
    pub(super) fn fragments(self) -> impl Iterator<Item = Result<Fragment<'a>, DtlsError>> {
        let body = match self {
            Record::Plain { body, .. } => body,
            Record::Unified => &[],
        };
        cut(body, take_fragment)
    }
}

/// Whether the library, in the given role of ours, may see a datagram that follows the ClientHello.
/// `Rejected` otherwise.
pub(super) fn admit(datagram: &[u8], version: Version, role: DtlsRole) -> Result<(), DtlsError> {
    let mut any = false;
    for record in records(datagram) {
        any = true;
        match record? {
            Record::Unified if version == Version::V13 => {}
            Record::Unified => return Err(DtlsError::Rejected),
            record @ Record::Plain { kind: HANDSHAKE, epoch: 0, .. } => {
                admit_plaintext_handshake(record, version, role)?
            }
            Record::Plain { kind: CHANGE_CIPHER_SPEC | ACK, epoch: 0, .. } => {}
            // Everything protected of DTLS 1.2 is of epoch 1: there is no renegotiation.
            Record::Plain { kind: ALERT | HANDSHAKE | APPLICATION_DATA, epoch: 1, .. }
                if version == Version::V12 => {}
            // RFC 6347 section 4.1.2.7 lets a receiver ignore what is not protected.
            Record::Plain { .. } => return Err(DtlsError::Rejected),
        }
    }
    if any { Ok(()) } else { Err(DtlsError::Rejected) }
}

/// Only messages the other side sends in clear. A client: the ClientHello, and in DTLS 1.2 what
/// comes before ChangeCipherSpec. A server, which we meet in DTLS 1.2 only: its flights up to
/// ServerHelloDone.
fn admit_plaintext_handshake(
    record: Record<'_>,
    version: Version,
    role: DtlsRole,
) -> Result<(), DtlsError> {
    for fragment in record.fragments() {
        let fragment = fragment?;
        let expected = match (role, version, fragment.kind) {
            (DtlsRole::Server, Version::V12, CLIENT_HELLO) => fragment.sequence == 0,
            // After a HelloRetryRequest there is a second one.
            (DtlsRole::Server, Version::V13, CLIENT_HELLO) => fragment.sequence <= 1,
            (
                DtlsRole::Server,
                Version::V12,
                CERTIFICATE | CERTIFICATE_VERIFY | CLIENT_KEY_EXCHANGE,
            ) => true,
            (DtlsRole::Client, _, kind) => FROM_SERVER.contains(&kind),
            _ => false,
        };
        if !expected || fragment.total > MESSAGE_MAX {
            return Err(DtlsError::Rejected);
        }
    }
    Ok(())
}

/// Applies `take` until nothing is left or it fails, which is the last item.
fn cut<'a, T>(
    bytes: &'a [u8],
    take: impl Fn(&'a [u8]) -> Option<(T, &'a [u8])>,
) -> impl Iterator<Item = Result<T, DtlsError>> {
    let mut rest = Some(bytes).filter(|bytes| !bytes.is_empty());
    std::iter::from_fn(move || {
        let Some((item, left)) = take(rest.take()?) else {
            return Some(Err(DtlsError::Rejected));
        };
        rest = Some(left).filter(|left| !left.is_empty());
        Some(Ok(item))
    })
}

fn take_record(bytes: &[u8]) -> Option<(Record<'_>, &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    if first & 0b1110_0000 == UNIFIED {
        return take_unified(first, rest);
    }
    let (header, rest) = rest.split_first_chunk::<12>()?;
    let [0xFE, 0xFF | 0xFD, epoch_high, epoch_low, ..] = *header else {
        return None;
    };
    if !matches!(first, CHANGE_CIPHER_SPEC | ALERT | HANDSHAKE | APPLICATION_DATA | ACK) {
        return None;
    }
    let length = usize::from(u16::from_be_bytes([header[10], header[11]]));
    let (body, rest) = rest.split_at_checked(length)?;
    let record =
        Record::Plain { kind: first, epoch: u16::from_be_bytes([epoch_high, epoch_low]), body };
    (!body.is_empty()).then_some((record, rest))
}

/// RFC 9147 section 4: connection id, sequence and length are optional. We never ask for a
/// connection id.
fn take_unified(first: u8, rest: &[u8]) -> Option<(Record<'_>, &[u8])> {
    if first & UNIFIED_CID != 0 {
        return None;
    }
    let sequence = if first & UNIFIED_SEQUENCE_16 != 0 { 2 } else { 1 };
    let (_, rest) = rest.split_at_checked(sequence)?;
    let (body, rest) = if first & UNIFIED_LENGTH != 0 {
        let (length, rest) = rest.split_first_chunk::<2>()?;
        rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?
    } else {
        (rest, &[][..])
    };
    // RFC 9147 section 4.2.3 needs 16 bytes of ciphertext for the sequence number mask.
    (body.len() >= 16).then_some((Record::Unified, rest))
}

fn take_fragment(bytes: &[u8]) -> Option<(Fragment<'_>, &[u8])> {
    let (header, rest) = bytes.split_first_chunk::<12>()?;
    let wide = |at: usize| {
        header[at..at + 3].iter().fold(0usize, |sum, byte| sum << 8 | usize::from(*byte))
    };
    let (total, offset, length) = (wide(1), wide(6), wide(9));
    let (body, rest) = rest.split_at_checked(length)?;
    if offset + length > total {
        return None;
    }
    let fragment = Fragment {
        kind: header[0],
        sequence: u16::from_be_bytes([header[4], header[5]]),
        total,
        offset,
        bytes: body,
    };
    Some((fragment, rest))
}

/// Content types (RFC 5246 section 6.2.1, RFC 9147 section 4).
const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
pub(super) const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;
const ACK: u8 = 26;
/// Bits of the unified header (RFC 9147 section 4).
const UNIFIED: u8 = 0b0010_0000;
const UNIFIED_CID: u8 = 0b0001_0000;
const UNIFIED_SEQUENCE_16: u8 = 0b0000_1000;
const UNIFIED_LENGTH: u8 = 0b0000_0100;
/// Handshake message types (RFC 5246 section 7.4).
const CERTIFICATE: u8 = 11;
const CERTIFICATE_VERIFY: u8 = 15;
const CLIENT_KEY_EXCHANGE: u8 = 16;
/// ServerHello, HelloVerifyRequest (RFC 6347 section 4.3.2), Certificate, ServerKeyExchange,
/// CertificateRequest, ServerHelloDone.
const FROM_SERVER: [u8; 6] = [2, 3, CERTIFICATE, 12, 13, 14];
/// Longest handshake message after the ClientHello. Chosen: self-signed certificates of browsers
/// are below 1 KB, a chain with RSA keys below 8 KB.
const MESSAGE_MAX: usize = 16 << 10;
