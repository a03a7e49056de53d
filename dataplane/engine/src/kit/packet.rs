//! The media packet value that stages hand on: what the walk learnt of one plaintext RTP packet.
//! The bytes stay where they are; this is a copyable description of them.

use common::media::{Codec, Extension};
use proto::payload::facts::FrameFacts;

/// Most header extension elements remembered of one packet; further ones are not forwarded.
pub const ELEMENTS_MAX: usize = 10;

/// One header extension element: which, and where its data lie in the packet.
#[derive(Clone, Copy, Debug)]
pub struct Element {
    /// The extension.
    pub extension: Extension,
    /// Offset of its data from the start of the packet, in bytes.
    pub offset: u16,
    /// Length of its data in bytes (1 to 16 in the one-byte form, 0 to 255 in the two-byte form).
    pub len: u8,
}

/// The running numbers of a packet's frame, as far as the packet shows them.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct PictureNumbers {
    /// Picture id of the payload descriptor (RFC 7741 section 4.2, RFC 9628 section 4.2).
    pub picture_id: Option<u16>,
    /// Running index of base layer pictures (TL0PICIDX).
    pub tl0: Option<u8>,
    /// Frame number of the dependency descriptor.
    pub frame_number: Option<u16>,
}

/// A plaintext RTP packet as its publisher sent it.
#[derive(Clone, Copy, Debug)]
pub struct Packet {
    /// Index of the encoding within its track.
    pub encoding: u8,
    /// Changes whenever the encoding's sequence numbers start anew (new SSRC, moved publisher).
    pub epoch: u32,
    /// Payload type on the publisher's transport.
    pub payload_type: u8,
    /// Its codec.
    pub codec: Codec,
    /// RTP marker bit.
    pub marker: bool,
    /// What it says of its frame and layer.
    pub frame: FrameFacts,
    /// Running numbers of its frame.
    pub picture: PictureNumbers,
    /// Payload type and place in the payload of the primary block (RFC 2198), in a RED packet.
    pub primary: Option<(u8, u16)>,
    /// Extended sequence number: roll-over counter and sequence number (RFC 3711 section 3.3.1).
    pub sequence: u64,
    /// RTP timestamp in the publisher's clock.
    pub timestamp: u32,
    /// Offset of the payload from the start of the packet, in bytes.
    pub payload_offset: u16,
    /// Length of the payload in bytes, padding excluded.
    pub payload_len: u16,
    /// Length of RTP padding (RFC 3550 section 5.1), the count byte included; 0 without.
    pub padding_len: u8,
    /// Whether the data of a remembered element do not fit the one-byte form (RFC 8285 section 4.2).
    pub wide: bool,
    /// Number of valid entries in `elements`.
    pub element_count: u8,
    /// Header extension elements.
    pub elements: [Element; ELEMENTS_MAX],
}

impl Packet {
    /// A description of nothing, to be filled in.
    pub const fn blank() -> Self {
        Self {
            encoding: 0,
            epoch: 0,
            payload_type: 0,
            codec: Codec::Other,
            marker: false,
            frame: FrameFacts::UNKNOWN,
            picture: PictureNumbers { picture_id: None, tl0: None, frame_number: None },
            primary: None,
            sequence: 0,
            timestamp: 0,
            payload_offset: 0,
            payload_len: 0,
            padding_len: 0,
            wide: false,
            element_count: 0,
            elements: [Element { extension: Extension::Mid, offset: 0, len: 0 }; ELEMENTS_MAX],
        }
    }

    /// Remembers an element that says something about the media; what says something about the hop, and
    /// what is beyond [`ELEMENTS_MAX`], is not forwarded.
    pub fn remember(&mut self, element: Element) {
        let place = self.elements.get_mut(usize::from(self.element_count));
        if let Some(place) = place.filter(|_| travels(element.extension)) {
            *place = element;
            self.element_count += 1;
            self.wide |= !(1..=16).contains(&element.len);
        }
    }

    /// Whether it carries nothing but padding.
    pub fn is_padding(&self) -> bool {
        self.payload_len == 0 && self.padding_len > 0
    }

    /// The remembered header extension elements.
    pub fn elements(&self) -> &[Element] {
        &self.elements[..usize::from(self.element_count)]
    }

    /// The payload of this packet inside `bytes`, the packet it describes.
    pub fn payload<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        let start = usize::from(self.payload_offset);
        &bytes[start..start + usize::from(self.payload_len)]
    }
}

/// Whether an extension says something about the media and not about the hop.
const fn travels(extension: Extension) -> bool {
    !matches!(
        extension,
        Extension::Mid
            | Extension::Rid
            | Extension::RepairedRid
            | Extension::TransportCc
            | Extension::AbsSendTime
            | Extension::TransmissionOffset
            | Extension::VideoLayersAllocation
    )
}
