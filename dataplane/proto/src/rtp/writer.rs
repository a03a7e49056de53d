//! Writes RTP headers with extension elements straight into a send slot (RFC 3550, RFC 8285).
//!
//! Called once per outbound packet and for padding and probe packets. Must never write outside the
//! slot; what does not fit is left out and said so.

use super::{FIXED_LEN, PROFILE_ONE_BYTE, PROFILE_TWO_BYTE};

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
    #[inline]
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
    /// Whole words: an element that fits leaves room for what fills its last word.
    slot: &'a mut [u8],
    form: ElementForm,
    /// Where the next element goes; [`ELEMENTS_AT`] before the first.
    at: usize,
}

impl<'a> HeaderWriter<'a> {
    /// Writes the fixed header and the elements of `lead`, with `number` in its place, to the start of
    /// `slot`; more elements follow in the one-byte form. In a slot without room for the longest lead
    /// there is room for nothing.
    ///
    /// Cost: copies of fixed size. What comes behind the header in the slot is undefined.
    #[inline(always)]
    pub fn lead_in(slot: &'a mut [u8], header: FixedHeader, lead: &Lead, number: u16) -> Self {
        let whole = slot.len() & !3;
        let mut slot = slot.get_mut(..whole).unwrap_or_default();
        match slot.first_chunk_mut::<{ ELEMENTS_AT + Lead::ROOM }>() {
            None => slot = &mut [],
            Some(place) => {
                let (fixed, elements) = place.split_at_mut(ELEMENTS_AT);
                if let Some(fixed) = fixed.first_chunk_mut() {
                    *fixed = header.bytes();
                }
                elements.copy_from_slice(&lead.bytes);
                let at = usize::from(lead.number_at);
                if let Some(place) = elements.get_mut(at..at + 2) {
                    place.copy_from_slice(&number.to_be_bytes());
                }
            }
        }
        Self { slot, form: ElementForm::OneByte, at: ELEMENTS_AT + usize::from(lead.len) }
    }

    /// Writes the fixed header to the start of `slot`; elements follow in `form`.
    pub fn begin(slot: &'a mut [u8], header: FixedHeader, form: ElementForm) -> Self {
        debug_assert!(header.payload_type < 128, "RFC 3550 section 5.1");
        let whole = slot.len() & !3;
        let slot = slot.get_mut(..whole).unwrap_or_default();
        if let Some(place) = slot.first_chunk_mut() {
            *place = header.bytes();
        }
        Self { slot, form, at: ELEMENTS_AT }
    }

    /// Appends an element. Returns false, and writes nothing, when the form cannot carry it or the
    /// slot has no room for it.
    #[inline(always)]
    pub fn element(&mut self, id: u8, data: &[u8]) -> bool {
        let len = data.len();
        let head_len = match self.form {
            ElementForm::OneByte if (1..=14).contains(&id) && (1..=16).contains(&len) => 1,
            ElementForm::TwoByte if id != 0 && len <= 255 => 2,
            _ => return false,
        };
        let end = self.at + head_len + len;
        match self.slot.get_mut(self.at..end).and_then(<[u8]>::split_first_mut) {
            Some((head, place)) if head_len == 1 => {
                *head = id << 4 | (len - 1) as u8;
                place.copy_from_slice(data);
            }
            Some((head, [second, place @ ..])) => {
                (*head, *second) = (id, len as u8);
                place.copy_from_slice(data);
            }
            _ => return false,
        }
        self.at = end;
        true
    }

    /// Fills the last word, sets the P bit if `padding`, and returns the length of the header; 0
    /// when not even the fixed header fitted.
    #[inline(always)]
    pub fn finish(self, padding: bool) -> usize {
        let Self { slot, form, at } = self;
        let end = at.next_multiple_of(4);
        let Some(first) = slot.first_mut() else { return 0 };
        *first |= u8::from(padding) << 5;
        if at == ELEMENTS_AT {
            return if slot.len() < FIXED_LEN { 0 } else { FIXED_LEN };
        }
        *first |= 0x10;
        let profile = match form {
            ElementForm::OneByte => PROFILE_ONE_BYTE,
            ElementForm::TwoByte => PROFILE_TWO_BYTE,
        };
        let words = ((end - ELEMENTS_AT) / 4) as u32;
        if let Some(block) = slot.get_mut(FIXED_LEN..).and_then(<[u8]>::first_chunk_mut) {
            *block = (u32::from(profile) << 16 | words).to_be_bytes();
        }
        if let Some(last) = slot.get_mut(..end).and_then(<[u8]>::last_chunk_mut) {
            *last = (u32::from_be_bytes(*last) & u32::MAX << (8 * (end - at))).to_be_bytes();
        }
        end
    }
}

/// The elements that all headers of a stream begin with, in the one-byte form: written once, then
/// copied. One of them may be a number that changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lead {
    bytes: [u8; Lead::ROOM],
    len: u8,
    /// Where the number is; behind all elements while there is none.
    number_at: u8,
}

impl Lead {
    /// Room for an element of 16 bytes, one of a number, and a number that is no element.
    const ROOM: usize = 24;
    /// Where a number is written that is none.
    const NOWHERE: u8 = Self::ROOM as u8 - 2;

    /// The elements `text` and number, each with its id; left out where the form cannot carry it.
    pub fn new(text: Option<(u8, &[u8])>, number_id: Option<u8>) -> Self {
        let mut lead = Self { bytes: [0; Self::ROOM], len: 0, number_at: Self::NOWHERE };
        if let Some((id, text)) = text {
            lead.element(id, text);
        }
        let number_at = lead.len + 1;
        if number_id.is_some_and(|id| lead.element(id, &[0; 2])) {
            lead.number_at = number_at;
        }
        lead
    }

    fn element(&mut self, id: u8, data: &[u8]) -> bool {
        let at = usize::from(self.len);
        let room = self.bytes.get_mut(at..at + 1 + data.len()).and_then(<[u8]>::split_first_mut);
        let fits = (1..=14).contains(&id) && (1..=16).contains(&data.len());
        let Some((head, place)) = room.filter(|_| fits) else { return false };
        *head = id << 4 | (data.len() - 1) as u8;
        place.copy_from_slice(data);
        self.len += 1 + data.len() as u8;
        true
    }
}

impl FixedHeader {
    /// On the wire, without padding and extension.
    fn bytes(self) -> [u8; FIXED_LEN] {
        let flags = 0x8000 | u16::from(self.marker) << 7 | u16::from(self.payload_type & 0x7F);
        let word = u32::from(flags) << 16 | u32::from(self.sequence);
        let wide = u128::from(word) << 64 | u128::from(self.timestamp) << 32;
        let [_, _, _, _, bytes @ ..] = (wide | u128::from(self.ssrc)).to_be_bytes();
        bytes
    }
}

/// Where elements start: behind the extension block's own header (RFC 3550 section 5.3.1).
const ELEMENTS_AT: usize = FIXED_LEN + 4;
