//! Builds the answers to connectivity checks, and checks for clients (RFC 8489, RFC 8445).
//!
//! Called by the engine after a check proved authentic, and by test clients. Must never write an
//! answer longer than the shortest check that can earn one: no amplification.

use std::net::{IpAddr, SocketAddr};

use super::message::ipv6_mask;
use super::{HEADER_LEN, MAGIC_COOKIE, attribute, integrity, kind};
use crate::cursor::Writer;

/// Longest answer in bytes: header, 24 of XOR-MAPPED-ADDRESS or ERROR-CODE, 24 of
/// MESSAGE-INTEGRITY, 8 of FINGERPRINT. A check for one of our 22-character user names has at
/// least header, 32 of USERNAME and 24 of MESSAGE-INTEGRITY, which is the same.
pub const BINDING_REPLY_MAX: usize = 76;

/// Error code when both sides claim the same role (RFC 8445 section 7.3.1.1).
pub const ROLE_CONFLICT: u16 = 487;

/// Writes the success answer to an authenticated check that came from `mapped`; returns its
/// length, 0 when `slot` is too short.
///
/// An IPv4 address in IPv6 clothes (`::ffff:a.b.c.d`, what a dual-stack socket reports) is
/// written as IPv4, which is what the client's own candidates are.
pub fn write_binding_success(
    slot: &mut [u8],
    transaction: [u8; 12],
    mapped: SocketAddr,
    password: &[u8],
) -> usize {
    let mut writer = begin(slot, kind::SUCCESS, transaction);
    let port = mapped.port() ^ (MAGIC_COOKIE >> 16) as u16;
    writer.u16(attribute::XOR_MAPPED_ADDRESS);
    match mapped.ip().to_canonical() {
        IpAddr::V4(ip) => {
            writer.u16(8);
            writer.u16(1);
            writer.u16(port);
            writer.u32(ip.to_bits() ^ MAGIC_COOKIE);
        }
        IpAddr::V6(ip) => {
            writer.u16(20);
            writer.u16(2);
            writer.u16(port);
            writer.bytes(&(ip.to_bits() ^ ipv6_mask(transaction)).to_be_bytes());
        }
    }
    sign(writer, password)
}

/// Writes an error answer to an authenticated check; returns its length, 0 when `slot` is too
/// short.
///
/// Units: `code` is 300 to 699 (RFC 8489 section 14.8).
pub fn write_binding_error(
    slot: &mut [u8],
    transaction: [u8; 12],
    code: u16,
    password: &[u8],
) -> usize {
    debug_assert!((300..700).contains(&code), "RFC 8489 section 14.8");
    let reason: &[u8] = if code == ROLE_CONFLICT { b"Role Conflict" } else { b"" };
    let mut writer = begin(slot, kind::ERROR, transaction);
    writer.u16(attribute::ERROR_CODE);
    writer.u16(4 + reason.len() as u16);
    writer.u16(0);
    writer.u16(((code / 100 % 8) << 8) | (code % 100));
    writer.bytes(reason);
    writer.pad();
    sign(writer, password)
}

/// Writes a connectivity check of a controlling client; returns its length, 0 when `slot` is too
/// short. `username` is "remote:local" as the client sees it.
pub fn write_binding_request(
    slot: &mut [u8],
    transaction: [u8; 12],
    username: &str,
    use_candidate: bool,
    priority: u32,
    tie_breaker: u64,
    password: &[u8],
) -> usize {
    let Ok(username_len) = u16::try_from(username.len()) else { return 0 };
    let mut writer = begin(slot, kind::REQUEST, transaction);
    writer.u16(attribute::USERNAME);
    writer.u16(username_len);
    writer.bytes(username.as_bytes());
    writer.pad();
    if use_candidate {
        writer.u16(attribute::USE_CANDIDATE);
        writer.u16(0);
    }
    writer.u16(attribute::ICE_CONTROLLING);
    writer.u16(8);
    writer.u64(tie_breaker);
    writer.u16(attribute::PRIORITY);
    writer.u16(4);
    writer.u32(priority);
    sign(writer, password)
}

/// Writes the header; the length comes last.
fn begin(slot: &mut [u8], message_kind: u16, transaction: [u8; 12]) -> Writer<'_> {
    let mut writer = Writer::new(slot);
    writer.u16(message_kind);
    writer.u16(0);
    writer.u32(MAGIC_COOKIE);
    writer.bytes(&transaction);
    writer
}

/// Adds MESSAGE-INTEGRITY and FINGERPRINT and fills in the length.
fn sign(mut writer: Writer<'_>, password: &[u8]) -> usize {
    let Some(code) = integrity::sign(writer.written(), writer.len(), password) else { return 0 };
    writer.u16(attribute::MESSAGE_INTEGRITY);
    writer.u16(integrity::INTEGRITY_LEN as u16);
    writer.bytes(&code);
    let Ok(len) = u16::try_from(writer.len() - HEADER_LEN.min(writer.len()) + 8) else { return 0 };
    writer.patch(2, &len.to_be_bytes());
    let fingerprint = integrity::fingerprint(writer.written());
    writer.u16(attribute::FINGERPRINT);
    writer.u16(4);
    writer.u32(fingerprint);
    writer.finish()
}
