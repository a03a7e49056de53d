//! Borrowed views of the STUN messages of ICE (RFC 8489 sections 5 and 14, RFC 8445 section 7.1).
//!
//! Called by the engine for every STUN datagram, before its sender is known to be anyone. Must
//! never allocate, panic, or honour an attribute that MESSAGE-INTEGRITY does not cover.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{HEADER_LEN, MAGIC_COOKIE, attribute, integrity, kind};
use crate::cursor;

/// Why a datagram is not the message that was asked for. The caller drops it and counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StunError {
    /// Shorter than a header, or its length field is not that of the datagram, or no multiple of
    /// four.
    Length,
    /// No magic cookie, or the two leading bits are not zero.
    Cookie,
    /// Another type of message than the one to be read; for a request: a Binding indication (keep-
    /// alive of old clients), a response, or another method. Carries the message type.
    NotRequest(u16),
    /// An attribute runs past the end or has an impossible length.
    Attribute,
    /// A comprehension-required attribute we do not know (RFC 8489 section 6.3.1), by its type.
    UnknownAttribute(u16),
    /// FINGERPRINT is not the last attribute or does not match.
    Fingerprint,
    /// No MESSAGE-INTEGRITY.
    Unsigned,
    /// USERNAME is missing, too long, or not two names with a colon between.
    Username,
    /// A success response without a usable XOR-MAPPED-ADDRESS.
    MappedAddress,
}

/// Which side of ICE the sender plays, with its tie-breaker (RFC 8445 section 7.3.1.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IceRole {
    /// ICE-CONTROLLING.
    Controlling(u64),
    /// ICE-CONTROLLED.
    Controlled(u64),
}

/// A connectivity check. Well-formed, but authentic only once [`BindingRequest::verify`] said so.
#[derive(Clone, Copy, Debug)]
pub struct BindingRequest<'a> {
    message: &'a [u8],
    integrity_offset: usize,
    transaction: [u8; 12],
    local_ufrag: &'a [u8],
    remote_ufrag: &'a [u8],
    use_candidate: bool,
    role: Option<IceRole>,
    priority: Option<u32>,
}

impl<'a> BindingRequest<'a> {
    /// Reads a Binding request that is the whole of `datagram`.
    ///
    /// Errors: see [`StunError`]; whichever it is, the datagram is to be dropped without an answer.
    pub fn parse(datagram: &'a [u8]) -> Result<Self, StunError> {
        let (message_kind, transaction) = header(datagram)?;
        if message_kind != kind::REQUEST {
            return Err(StunError::NotRequest(message_kind));
        }
        let mut username = None;
        let mut use_candidate = false;
        let mut role = None;
        let mut priority = None;
        let integrity_offset = attributes(datagram, |attribute, value| {
            match attribute {
                attribute::USERNAME => username = username.or(Some(value)),
                attribute::USE_CANDIDATE => use_candidate = true,
                attribute::PRIORITY => priority = priority.or(Some(u32_value(value)?)),
                attribute::ICE_CONTROLLING => {
                    role = role.or(Some(IceRole::Controlling(u64_value(value)?)));
                }
                attribute::ICE_CONTROLLED => {
                    role = role.or(Some(IceRole::Controlled(u64_value(value)?)));
                }
                other => understood(other)?,
            }
            Ok(())
        })?;
        let (local_ufrag, remote_ufrag) = username.and_then(names).ok_or(StunError::Username)?;
        Ok(Self {
            message: datagram,
            integrity_offset,
            transaction,
            local_ufrag,
            remote_ufrag,
            use_candidate,
            role,
            priority,
        })
    }

    /// The transaction id, to be returned in the answer.
    pub fn transaction(&self) -> [u8; 12] {
        self.transaction
    }

    /// The receiver's user name fragment: USERNAME before the colon.
    pub fn local_ufrag(&self) -> &'a [u8] {
        self.local_ufrag
    }

    /// The sender's user name fragment: USERNAME after the colon.
    pub fn remote_ufrag(&self) -> &'a [u8] {
        self.remote_ufrag
    }

    /// Whether the sender nominates this pair (RFC 8445 section 7.1.2).
    pub fn use_candidate(&self) -> bool {
        self.use_candidate
    }

    /// Whether the sender says that it is the controlling side.
    pub fn controlling(&self) -> bool {
        matches!(self.role, Some(IceRole::Controlling(_)))
    }

    /// The role the sender claims.
    pub fn role(&self) -> Option<IceRole> {
        self.role
    }

    /// The priority the sender's address would have as a peer-reflexive candidate.
    pub fn priority(&self) -> Option<u32> {
        self.priority
    }

    /// Whether the message was made by someone who knows `password`.
    ///
    /// Cost: HMAC-SHA1 over the message, no allocation; constant time in the code compared.
    pub fn verify(&self, password: &[u8]) -> bool {
        integrity::verify(self.message, self.integrity_offset, password)
    }
}

/// The success answer to a connectivity check, for clients.
#[derive(Clone, Copy, Debug)]
pub struct BindingSuccess<'a> {
    message: &'a [u8],
    integrity_offset: usize,
    transaction: [u8; 12],
    mapped: SocketAddr,
}

impl<'a> BindingSuccess<'a> {
    /// Reads a Binding success response that is the whole of `datagram`.
    pub fn parse(datagram: &'a [u8]) -> Result<Self, StunError> {
        let (message_kind, transaction) = header(datagram)?;
        if message_kind != kind::SUCCESS {
            return Err(StunError::NotRequest(message_kind));
        }
        let mut mapped = None;
        let integrity_offset = attributes(datagram, |attribute, value| {
            match attribute {
                attribute::XOR_MAPPED_ADDRESS if mapped.is_none() => {
                    mapped = Some(xored(value, transaction).ok_or(StunError::MappedAddress)?);
                }
                other => understood(other)?,
            }
            Ok(())
        })?;
        let mapped = mapped.ok_or(StunError::MappedAddress)?;
        Ok(Self { message: datagram, integrity_offset, transaction, mapped })
    }

    /// The transaction id of the request it answers.
    pub fn transaction(&self) -> [u8; 12] {
        self.transaction
    }

    /// The address the server saw the request come from.
    pub fn mapped(&self) -> SocketAddr {
        self.mapped
    }

    /// Whether the message was made by someone who knows `password`.
    pub fn verify(&self, password: &[u8]) -> bool {
        integrity::verify(self.message, self.integrity_offset, password)
    }
}

/// Checks the fixed header; returns message type and transaction id.
fn header(datagram: &[u8]) -> Result<(u16, [u8; 12]), StunError> {
    let message_kind = cursor::u16_at(datagram, 0).ok_or(StunError::Length)?;
    let len = cursor::u16_at(datagram, 2).ok_or(StunError::Length)?;
    let cookie = cursor::u32_at(datagram, 4).ok_or(StunError::Length)?;
    let transaction = cursor::array(datagram, 8).ok_or(StunError::Length)?;
    if cookie != MAGIC_COOKIE || message_kind & 0xC000 != 0 {
        return Err(StunError::Cookie);
    }
    if !len.is_multiple_of(4) || usize::from(len) + HEADER_LEN != datagram.len() {
        return Err(StunError::Length);
    }
    Ok((message_kind, transaction))
}

/// Shows `visit` every attribute before MESSAGE-INTEGRITY, checks FINGERPRINT, and returns where
/// MESSAGE-INTEGRITY starts.
///
/// Attributes after MESSAGE-INTEGRITY are nobody's word: they are stepped over, FINGERPRINT
/// excepted (RFC 8489 section 14.5).
fn attributes<'a>(
    message: &'a [u8],
    mut visit: impl FnMut(u16, &'a [u8]) -> Result<(), StunError>,
) -> Result<usize, StunError> {
    let mut integrity_offset = None;
    let mut at = HEADER_LEN;
    while at < message.len() {
        let attribute = cursor::u16_at(message, at).ok_or(StunError::Attribute)?;
        let len = usize::from(cursor::u16_at(message, at + 2).ok_or(StunError::Attribute)?);
        let value = message.get(at + 4..at + 4 + len).ok_or(StunError::Attribute)?;
        let next = at + 4 + len.next_multiple_of(4);
        match attribute {
            attribute::FINGERPRINT => {
                let covered = message.get(..at).unwrap_or_default();
                let expected = integrity::fingerprint(covered).to_be_bytes();
                if next != message.len() || value != expected {
                    return Err(StunError::Fingerprint);
                }
            }
            _ if integrity_offset.is_some() => {}
            attribute::MESSAGE_INTEGRITY if len != integrity::INTEGRITY_LEN => {
                return Err(StunError::Attribute);
            }
            attribute::MESSAGE_INTEGRITY => integrity_offset = Some(at),
            other => visit(other, value)?,
        }
        at = next;
    }
    integrity_offset.ok_or(StunError::Unsigned)
}

/// Accepts attributes that may be ignored: optional ones, and those of RFC 8489 that carry nothing
/// for us.
fn understood(attribute: u16) -> Result<(), StunError> {
    match attribute {
        attribute::MAPPED_ADDRESS
        | attribute::USERNAME
        | attribute::ERROR_CODE
        | attribute::UNKNOWN_ATTRIBUTES
        | attribute::REALM
        | attribute::NONCE
        | attribute::XOR_MAPPED_ADDRESS
        | attribute::PRIORITY
        | attribute::USE_CANDIDATE
        | 0x8000.. => Ok(()),
        unknown => Err(StunError::UnknownAttribute(unknown)),
    }
}

/// Splits USERNAME at its first colon; both names must have a character.
fn names(username: &[u8]) -> Option<(&[u8], &[u8])> {
    if username.len() > USERNAME_MAX {
        return None;
    }
    let colon = username.iter().position(|byte| *byte == b':')?;
    let (local, rest) = username.split_at_checked(colon)?;
    let (_, remote) = rest.split_first()?;
    (!local.is_empty() && !remote.is_empty()).then_some((local, remote))
}

/// RFC 8489 section 14.3 wants fewer than 509 bytes, but two fragments of 256 and a colon
/// (RFC 8839 section 5.4) are 513.
const USERNAME_MAX: usize = 513;

fn u32_value(value: &[u8]) -> Result<u32, StunError> {
    value.try_into().map(u32::from_be_bytes).map_err(|_| StunError::Attribute)
}

fn u64_value(value: &[u8]) -> Result<u64, StunError> {
    value.try_into().map(u64::from_be_bytes).map_err(|_| StunError::Attribute)
}

/// Decodes XOR-MAPPED-ADDRESS (RFC 8489 section 14.2).
fn xored(value: &[u8], transaction: [u8; 12]) -> Option<SocketAddr> {
    let family = cursor::u8_at(value, 1)?;
    let port = cursor::u16_at(value, 2)? ^ (MAGIC_COOKIE >> 16) as u16;
    let address = value.get(4..)?;
    let ip = match family {
        1 => {
            let bits = u32::from_be_bytes(address.try_into().ok()?) ^ MAGIC_COOKIE;
            IpAddr::V4(Ipv4Addr::from_bits(bits))
        }
        2 => {
            let bits = u128::from_be_bytes(address.try_into().ok()?) ^ ipv6_mask(transaction);
            IpAddr::V6(Ipv6Addr::from_bits(bits))
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

/// What IPv6 addresses are XORed with: cookie, then transaction id.
pub(super) fn ipv6_mask(transaction: [u8; 12]) -> u128 {
    let [a, b, c, d] = MAGIC_COOKIE.to_be_bytes();
    let [e, f, g, h, i, j, k, l, m, n, o, p] = transaction;
    u128::from_be_bytes([a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p])
}
