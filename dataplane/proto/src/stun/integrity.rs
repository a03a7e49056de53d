//! MESSAGE-INTEGRITY (HMAC-SHA1) and FINGERPRINT (CRC-32) of STUN, RFC 8489 sections 14.5 and 14.7.
//!
//! Called by the reader and the writer beside it. Must never compare a code in variable time.

use hmac::{Hmac, Mac};
use sha1::Sha1;

/// Length of the MESSAGE-INTEGRITY value in bytes.
pub(super) const INTEGRITY_LEN: usize = 20;
/// Length of an attribute header in bytes.
const ATTRIBUTE_HEADER: usize = 4;

/// HMAC over `message` up to `offset`, where the MESSAGE-INTEGRITY attribute starts, with the
/// header's length field set as if that attribute were the last.
fn keyed(message: &[u8], offset: usize, password: &[u8]) -> Option<Hmac<Sha1>> {
    let body = offset.checked_sub(super::HEADER_LEN)?;
    let len = u16::try_from(body.saturating_add(ATTRIBUTE_HEADER + INTEGRITY_LEN)).ok()?;
    let mut mac = <Hmac<Sha1> as Mac>::new_from_slice(password).ok()?;
    mac.update(message.get(..2)?);
    mac.update(&len.to_be_bytes());
    mac.update(message.get(4..offset)?);
    Some(mac)
}

/// The MESSAGE-INTEGRITY value for an attribute that starts at `offset`.
pub(super) fn sign(message: &[u8], offset: usize, password: &[u8]) -> Option<[u8; INTEGRITY_LEN]> {
    keyed(message, offset, password).map(|mac| mac.finalize().into_bytes().into())
}

/// Whether the MESSAGE-INTEGRITY attribute at `offset` was made with `password`. Constant time in
/// the content of the code.
pub(super) fn verify(message: &[u8], offset: usize, password: &[u8]) -> bool {
    let start = offset.saturating_add(ATTRIBUTE_HEADER);
    let code = message.get(start..).and_then(|rest| rest.get(..INTEGRITY_LEN));
    match (keyed(message, offset, password), code) {
        (Some(mac), Some(code)) => mac.verify_slice(code).is_ok(),
        _ => false,
    }
}

/// The FINGERPRINT value over `covered`, the message before the FINGERPRINT attribute; the length
/// field in it must count that attribute already.
pub(super) fn fingerprint(covered: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in covered {
        let index = (crc ^ u32::from(*byte)) & 0xFF;
        crc = (crc >> 8) ^ CRC_TABLE[index as usize];
    }
    !crc ^ FINGERPRINT_MASK
}

/// RFC 8489 section 14.7: the CRC is XORed with "STUN".
const FINGERPRINT_MASK: u32 = 0x5354_554E;

/// CRC-32 of ITU V.42, reflected polynomial 0xEDB88320, one entry per byte value.
const CRC_TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < table.len() {
        let mut value = index as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { (value >> 1) ^ 0xEDB8_8320 } else { value >> 1 };
            bit += 1;
        }
        table[index] = value;
        index += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc_check_value() {
        // The customary check input of CRC-32 and its published result.
        assert_eq!(fingerprint(b"123456789") ^ FINGERPRINT_MASK, 0xCBF4_3926);
    }

    #[test]
    fn offsets_outside_the_message_verify_nothing() {
        let message = [0; 44];
        for offset in [0, 19, 21, 44, usize::MAX] {
            assert!(!verify(&message, offset, b"password"));
        }
    }
}
