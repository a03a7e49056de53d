//! The numbers under which one packet leaves towards one subscriber. Made by the subscription,
//! kept while a packet waits for its turn, used by whoever seals it.

/// What is added to a packet's running picture numbers, all wrapping.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct PictureShift {
    /// To the picture id of the payload descriptor.
    pub picture_id: u16,
    /// To TL0PICIDX.
    pub tl0: u8,
    /// To the frame number of the dependency descriptor.
    pub frame_number: u16,
}

impl PictureShift {
    /// Whether the payload descriptor stays as it is.
    pub(crate) fn keeps_payload(&self) -> bool {
        self.picture_id == 0 && self.tl0 == 0
    }
}

/// The numbers of one outbound packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Numbers {
    /// SSRC.
    pub ssrc: u32,
    /// Payload type.
    pub payload_type: u8,
    /// Packet index; its low 16 bits are the sequence number.
    pub index: u64,
    /// RTP timestamp.
    pub timestamp: u32,
    /// RTP marker bit.
    pub marker: bool,
    /// Change of the picture numbers.
    pub shift: PictureShift,
    /// Bytes left out at the start of the payload: the redundant blocks of a RED packet for a
    /// subscriber that did not negotiate RED.
    pub skipped: u16,
}
