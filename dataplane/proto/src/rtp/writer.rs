//! Writes RTP headers with extension elements straight into a send slot (RFC 3550, RFC 8285).
//!
//! Called once per outbound packet and for padding and probe packets. Must never write outside the
//! slot; what does not fit is left out and said so.

use super::{FIXED_LEN, PROFILE_ONE_BYTE, PROFILE_TWO_BYTE};
use crate::cursor::Writer;

/// The fields of the fixed header that differ from packet to packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FixedHeader {
    /// Payload type, 0 to 127.
    pub payload_type: u8,
    /// Marker bit.
    pub marker: bool,
    /// Sequence number.
    pub sequence: u16,
    /// Timestamp in units of the payload's clock.
    pub timestamp: u32,
    /// Synchronisation source.
    pub ssrc: u32,
}

/// How elements are encoded (RFC 8285 sections 4.2 and 4.3). One form per packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ElementForm {
    /// Ids 1 to 14, data of 1 to 16 bytes.
    #[default]
    OneByte,
    /// Ids 1 to 255, data of 0 to 255 bytes.
    TwoByte,
}

impl ElementForm {
    /// The shorter form that can carry all of `elements`, given as (id, length of the data).
    pub fn for_elements(elements: impl IntoIterator<Item = (u8, usize)>) -> Self {
        let mut elements = elements.into_iter();
        if elements.all(|(id, len)| id <= 14 && (1..=16).contains(&len)) {
            ElementForm::OneByte
        } else {
            ElementForm::TwoByte
        }
    }
}

/// Writes one header, front to back.
#[derive(Debug)]
pub struct HeaderWriter<'a> {
    writer: Writer<'a>,
    form: ElementForm,
    has_elements: bool,
}

impl<'a> HeaderWriter<'a> {
    /// Writes the fixed header to the start of `slot`; elements follow in `form`.
    pub fn begin(slot: &'a mut [u8], header: FixedHeader, form: ElementForm) -> Self {
        debug_assert!(header.payload_type < 128, "RFC 3550 section 5.1");
        let mut writer = Writer::new(slot);
        writer.u8(0x80);
        writer.u8(header.payload_type & 0x7F | u8::from(header.marker) << 7);
        writer.u16(header.sequence);
        writer.u32(header.timestamp);
        writer.u32(header.ssrc);
        Self { writer, form, has_elements: false }
    }

    /// Appends an element. Returns false, and writes nothing, when the form cannot carry it or the
    /// slot has no room for it.
    pub fn element(&mut self, id: u8, data: &[u8]) -> bool {
        let head = match (self.form, data.len()) {
            (_, _) if id == 0 => return false,
            (ElementForm::OneByte, len @ 1..=16) if id <= 14 => [id << 4 | (len - 1) as u8, 0],
            (ElementForm::TwoByte, len @ 0..=255) => [id, len as u8],
            _ => return false,
        };
        let head_len = if self.form == ElementForm::OneByte { 1 } else { 2 };
        let block = if self.has_elements { 0 } else { BLOCK_HEADER };
        // The last word is filled at the end; that must fit too.
        let end = (self.writer.len() + block + head_len + data.len()).next_multiple_of(4);
        if end - self.writer.len() > self.writer.room() {
            return false;
        }
        if !self.has_elements {
            self.has_elements = true;
            self.writer.u16(match self.form {
                ElementForm::OneByte => PROFILE_ONE_BYTE,
                ElementForm::TwoByte => PROFILE_TWO_BYTE,
            });
            self.writer.u16(0);
        }
        self.writer.bytes(head.get(..head_len).unwrap_or_default());
        self.writer.bytes(data);
        true
    }

    /// Fills the last word, sets the P bit if `padding`, and returns the length of the header; 0
    /// when not even the fixed header fitted.
    pub fn finish(mut self, padding: bool) -> usize {
        let mut first = 0x80 | u8::from(padding) << 5;
        if self.has_elements {
            first |= 0x10;
            self.writer.pad();
            let words = self.writer.len().saturating_sub(FIXED_LEN + BLOCK_HEADER) / 4;
            self.writer.patch(FIXED_LEN + 2, &(words as u16).to_be_bytes());
        }
        self.writer.patch(0, &[first]);
        self.writer.finish()
    }
}

/// Bytes of the extension block's own header (RFC 3550 section 5.3.1).
const BLOCK_HEADER: usize = 4;
