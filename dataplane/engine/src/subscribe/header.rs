//! The packet a subscriber sees: our SSRC and numbers, the publisher's header extensions under the
//! ids of this transport, the payload sealed from the shared plaintext. What belongs to one hop is
//! made anew or left out: MID, RIDs, transport-wide sequence numbers, send times.

use common::media::{Codec, Extension, ExtensionMap, Label};
use proto::payload::{vp8, vp9};
use proto::rtp::{ElementForm, FixedHeader, HeaderWriter, Lead};
use proto::srtp::Seal;

use crate::kit::outbound::{Numbers, PictureShift};
use crate::kit::packet::Packet;

/// What a packet carries of the transport it leaves on.
#[derive(Clone, Copy)]
pub(crate) struct Names<'a> {
    /// Ids of header extensions.
    pub extensions: &'a ExtensionMap,
    /// What the headers of the stream begin with; fitted to them.
    pub title: &'a Title,
    /// Transport-wide sequence number, where the subscriber answers them.
    pub transport_sequence: Option<u16>,
}

/// What the headers of one stream begin with: MID and transport-wide number, written once.
pub(crate) struct Title {
    /// MID of the receiving section.
    mid: Label,
    /// The ids that `lead` was made with: of the MID, and of the number where packets carry one; 0
    /// where there is none.
    ids: (u8, u8),
    lead: Lead,
}

impl Title {
    /// For packets of the section `mid`.
    pub(crate) fn new(mid: Label) -> Self {
        Self { mid, ids: (0, 0), lead: Lead::new(None, None) }
    }

    /// MID of the receiving section.
    pub(crate) fn mid(&self) -> &Label {
        &self.mid
    }

    /// Makes it that of packets with the ids of `extensions`, which carry transport-wide numbers where
    /// `numbered`. Cost: two comparisons, unless one of these changed.
    #[inline]
    pub(crate) fn fit(&mut self, extensions: &ExtensionMap, numbered: bool) {
        let number_id = extensions.id(Extension::TransportCc).filter(|_| numbered);
        let ids = (extensions.id(Extension::Mid).unwrap_or(0), number_id.unwrap_or(0));
        if self.ids != ids {
            self.rewrite(ids);
        }
    }

    #[cold]
    fn rewrite(&mut self, ids: (u8, u8)) {
        self.ids = ids;
        let mid = Some((ids.0, self.mid.as_bytes()));
        self.lead = Lead::new(mid.filter(|(id, _)| *id != 0), Some(ids.1).filter(|id| *id != 0));
    }
}

/// Seals `packet` (whose plaintext is `plain`) into `slot`; returns its length, or None when it does
/// not fit. The same numbers, packet and names give the same bytes: a packet may be sent again under
/// its own index by calling this again, and in no other way (RFC 3711 section 9.1).
pub(crate) fn seal_packet(
    seal: &Seal,
    slot: &mut [u8],
    numbers: &Numbers,
    (packet, plain): (&Packet, &[u8]),
    names: &Names<'_>,
) -> Option<usize> {
    if packet.is_padding() {
        return seal_as_padding(seal, slot, numbers, (packet, plain), names);
    }
    let start = write(slot, numbers, (packet, plain), names, false);
    let payload = payload(packet, plain, numbers)?;
    if numbers.shift.keeps_payload() {
        return seal.rtp(numbers.index, slot, start, payload);
    }
    let end = start + copy_payload(slot.get_mut(start..)?, packet, payload, numbers)?;
    seal.rtp_in_place(numbers.index, slot, start, end)
}

/// Whether [`seal_as_is`] gives the bytes of [`seal_packet`]: nothing of the packet is changed but its
/// header. Most are like that.
#[inline(always)]
pub(crate) fn stays_as_is(packet: &Packet, numbers: &Numbers) -> bool {
    packet.payload_len != 0 && !packet.wide && numbers.shift == PictureShift::default()
}

/// The same as [`seal_packet`] for a packet that stays as it is, without what others need.
#[inline(always)]
pub(crate) fn seal_as_is(
    seal: &Seal,
    slot: &mut [u8],
    numbers: &Numbers,
    (packet, plain): (&Packet, &[u8]),
    names: &Names<'_>,
) -> Option<usize> {
    let number = names.transport_sequence.unwrap_or(0);
    let mut writer = HeaderWriter::lead_in(slot, fixed(numbers), &names.title.lead, number);
    for element in packet.elements() {
        let Some(id) = names.extensions.id(element.extension) else { continue };
        let start = usize::from(element.offset);
        if let Some(data) = plain.get(start..start + usize::from(element.len)) {
            writer.element(id, data);
        }
    }
    let start = writer.finish(false);
    seal.rtp(numbers.index, slot, start, payload(packet, plain, numbers)?)
}

/// Seals `packet`, which has no payload.
fn seal_as_padding(
    seal: &Seal,
    slot: &mut [u8],
    numbers: &Numbers,
    (packet, plain): (&Packet, &[u8]),
    names: &Names<'_>,
) -> Option<usize> {
    let start = write(slot, numbers, (packet, plain), names, true);
    // RFC 3550 section 5.1: the last byte counts the padding, itself included.
    let end = start + usize::from(packet.padding_len);
    let padding = slot.get_mut(start..end)?;
    padding.fill(0);
    *padding.last_mut()? = packet.padding_len;
    seal.rtp_in_place(numbers.index, slot, start, end)
}

/// Seals an RTX packet (RFC 4588 section 4) that repeats `packet`, which was sent as `sequence`.
/// `numbers` are those of the RTX stream.
pub(crate) fn seal_rtx(
    seal: &Seal,
    slot: &mut [u8],
    (numbers, sequence): (&Numbers, u16),
    (packet, plain): (&Packet, &[u8]),
    names: &Names<'_>,
) -> Option<usize> {
    let start = write(slot, numbers, (packet, plain), names, false);
    slot.get_mut(start..start + 2)?.copy_from_slice(&sequence.to_be_bytes());
    let payload = payload(packet, plain, numbers)?;
    let copied = copy_payload(slot.get_mut(start + 2..)?, packet, payload, numbers)?;
    seal.rtp_in_place(numbers.index, slot, start, start + 2 + copied)
}

/// Seals a packet of nothing but `len` bytes of padding (1 to 255; RFC 3550 section 5.1).
pub(crate) fn seal_padding(
    seal: &Seal,
    slot: &mut [u8],
    (numbers, len): (&Numbers, u8),
    names: &Names<'_>,
) -> Option<usize> {
    let packet = Packet { padding_len: len.max(1), ..Packet::blank() };
    seal_as_padding(seal, slot, numbers, (&packet, &[]), names)
}

/// The payload as far as this subscriber gets it.
#[inline]
fn payload<'a>(packet: &Packet, plain: &'a [u8], numbers: &Numbers) -> Option<&'a [u8]> {
    packet.payload(plain).get(usize::from(numbers.skipped)..)
}

/// Copies a payload with its picture numbers changed; returns its length.
fn copy_payload(
    to: &mut [u8],
    packet: &Packet,
    payload: &[u8],
    numbers: &Numbers,
) -> Option<usize> {
    let to = to.get_mut(..payload.len())?;
    to.copy_from_slice(payload);
    if !numbers.shift.keeps_payload() {
        renumber(to, packet, numbers.shift);
    }
    Some(payload.len())
}

/// Changes the picture numbers of a payload descriptor. Never its length.
fn renumber(payload: &mut [u8], packet: &Packet, shift: PictureShift) {
    let id = packet.picture.picture_id.unwrap_or(0).wrapping_add(shift.picture_id);
    let tl0 = packet.picture.tl0.unwrap_or(0).wrapping_add(shift.tl0);
    match packet.codec {
        Codec::Vp8 => vp8::renumber(payload, id, tl0),
        Codec::Vp9 => vp9::renumber(payload, id, tl0),
        _ => false,
    };
}

/// Writes the header of `packet` (whose plaintext is `bytes`) into `slot`; returns its length.
/// `padding` sets the P bit. Cost: a few nanoseconds per header extension, no allocation.
fn write(
    slot: &mut [u8],
    numbers: &Numbers,
    (packet, bytes): (&Packet, &[u8]),
    names: &Names<'_>,
    padding: bool,
) -> usize {
    let ids = names.extensions;
    let form = ElementForm::for_elements(
        packet
            .elements()
            .iter()
            .filter_map(|element| Some((ids.id(element.extension)?, usize::from(element.len)))),
    );
    let mut writer = HeaderWriter::begin(slot, fixed(numbers), form);
    if let Some(id) = ids.id(Extension::Mid) {
        writer.element(id, names.title.mid.as_bytes());
    }
    let number_id = ids.id(Extension::TransportCc);
    if let Some((sequence, id)) = names.transport_sequence.zip(number_id) {
        writer.element(id, &sequence.to_be_bytes());
    }
    for element in packet.elements() {
        let Some(id) = ids.id(element.extension) else { continue };
        let start = usize::from(element.offset);
        let Some(data) = bytes.get(start..start + usize::from(element.len)) else { continue };
        match (element.extension, numbers.shift.frame_number) {
            (Extension::DependencyDescriptor, 1..) => {
                let mut moved = [0; u8::MAX as usize];
                let moved = &mut moved[..data.len()];
                moved.copy_from_slice(data);
                shift_frame_number(moved, numbers.shift.frame_number);
                writer.element(id, moved);
            }
            _ => {
                writer.element(id, data);
            }
        }
    }
    writer.finish(padding)
}

#[inline(always)]
fn fixed(numbers: &Numbers) -> FixedHeader {
    FixedHeader {
        payload_type: numbers.payload_type,
        marker: numbers.marker,
        sequence: numbers.index as u16,
        timestamp: numbers.timestamp,
        ssrc: numbers.ssrc,
    }
}

/// Adds to the frame number of a dependency descriptor: its second and third byte (AV1 RTP
/// specification, section A.8.2, mandatory descriptor fields).
fn shift_frame_number(descriptor: &mut [u8], shift: u16) {
    if let Some([high, low]) = descriptor.get_mut(1..3) {
        [*high, *low] = u16::from_be_bytes([*high, *low]).wrapping_add(shift).to_be_bytes();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::packet::Element;
    use proto::rtp::{Header, elements};

    #[test]
    fn elements_travel_under_the_subscribers_ids() {
        let mut bytes = vec![0u8; 40];
        bytes[20] = 0x85;
        bytes[22..25].copy_from_slice(b"old");
        let mut packet = Packet { marker: true, ..Packet::blank() };
        packet.remember(Element { extension: Extension::AudioLevel, offset: 20, len: 1 });
        packet.remember(Element { extension: Extension::Mid, offset: 22, len: 3 });
        packet.remember(Element { extension: Extension::TransportCc, offset: 25, len: 2 });
        packet.remember(Element { extension: Extension::ColorSpace, offset: 27, len: 4 });
        let mut ids = ExtensionMap::default();
        assert!(ids.bind(9, Extension::AudioLevel));
        assert!(ids.bind(4, Extension::Mid));
        assert!(ids.bind(3, Extension::TransportCc));
        let numbers = Numbers {
            ssrc: 7,
            payload_type: 111,
            index: 0x1_0005,
            timestamp: 0xfeed,
            marker: true,
            shift: PictureShift::default(),
            skipped: 0,
        };
        let mut title = Title::new(Label::new(b"12").expect("short"));
        title.fit(&ids, false);
        let mut slot = [0u8; 100];
        let names = Names { extensions: &ids, title: &title, transport_sequence: None };
        let len = write(&mut slot, &numbers, (&packet, &bytes), &names, false);
        let written = &slot[..len];
        let header = Header::parse(&[written, &[0; 4]].concat()).expect("well-formed");
        assert_eq!((header.ssrc, header.sequence, header.timestamp), (7, 5, 0xfeed));
        assert_eq!((header.payload_type, header.marker), (111, true));
        assert_eq!(header.payload_offset, len);
        let found: Vec<_> = elements(written, &header)
            .map(|(id, offset, len)| (id, written[offset..offset + len].to_vec()))
            .collect();
        assert_eq!(found, [(4, b"12".to_vec()), (9, vec![0x85])]);
    }
}
