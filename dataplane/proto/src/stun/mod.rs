//! STUN as ICE uses it (RFC 8489, RFC 8445 section 7): the connectivity check and its answers.
//!
//! `message` reads, `write` builds, `integrity` holds MESSAGE-INTEGRITY and FINGERPRINT. Called by
//! the engine's claim and transport stages, and by test clients. Nothing here allocates or keeps
//! state; no answer exists for a message that was not authenticated.

mod integrity;
mod message;
mod write;

pub use message::{BindingRequest, BindingSuccess, IceRole, StunError};
pub use write::{
    BINDING_REPLY_MAX, ROLE_CONFLICT, write_binding_error, write_binding_request,
    write_binding_success,
};

/// Length of the STUN header in bytes (RFC 8489 section 5).
const HEADER_LEN: usize = 20;
/// RFC 8489 section 5.
const MAGIC_COOKIE: u32 = 0x2112_A442;

/// Message types: method Binding with its four classes (RFC 8489 sections 5 and 18.2).
mod kind {
    pub(super) const REQUEST: u16 = 0x0001;
    pub(super) const SUCCESS: u16 = 0x0101;
    pub(super) const ERROR: u16 = 0x0111;
}

/// Attribute types (RFC 8489 section 18.3, RFC 8445 section 16.1).
mod attribute {
    pub(super) const MAPPED_ADDRESS: u16 = 0x0001;
    pub(super) const USERNAME: u16 = 0x0006;
    pub(super) const MESSAGE_INTEGRITY: u16 = 0x0008;
    pub(super) const ERROR_CODE: u16 = 0x0009;
    pub(super) const UNKNOWN_ATTRIBUTES: u16 = 0x000A;
    pub(super) const REALM: u16 = 0x0014;
    pub(super) const NONCE: u16 = 0x0015;
    pub(super) const XOR_MAPPED_ADDRESS: u16 = 0x0020;
    pub(super) const PRIORITY: u16 = 0x0024;
    pub(super) const USE_CANDIDATE: u16 = 0x0025;
    pub(super) const FINGERPRINT: u16 = 0x8028;
    pub(super) const ICE_CONTROLLED: u16 = 0x8029;
    pub(super) const ICE_CONTROLLING: u16 = 0x802A;
}

#[cfg(test)]
mod tests;
