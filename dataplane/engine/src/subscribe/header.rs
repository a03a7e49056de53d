//! The packet a subscriber sees: our SSRC and numbers, the publisher's header extensions under the
//! ids of this transport, the payload sealed from the shared plaintext. What belongs to one hop is left out: MID, RIDs, transport-wide
//! sequence numbers, send times.

use common::media::{Extension, ExtensionMap, Label};
use proto::rtp::{ElementForm, FixedHeader, HeaderWriter};
use proto::srtp::Seal;

use crate::kit::packet::Packet;

/// The numbers of one outbound packet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Numbers {
    /// SSRC.
    pub ssrc: u32,
    /// Payload type.
    pub payload_type: u8,
    /// Packet index; its low 16 bits are the sequence number.
    pub index: u64,
    /// RTP timestamp.
    pub timestamp: u32,
}

/// Seals `packet` (whose plaintext is `plain`) into `slot`; returns its length, or None when it does
/// not fit. The same numbers, packet and names give the same bytes: a packet may be sent again under
/// its own index by calling this again, and in no other way (RFC 3711 section 9.1).
pub(crate) fn seal_packet(
    seal: &Seal,
    slot: &mut [u8],
    numbers: Numbers,
    (packet, plain): (&Packet, &[u8]),
    names: (&ExtensionMap, Label),
) -> Option<usize> {
    let padding_only = packet.payload_len == 0 && packet.padding_len > 0;
    let start = write(slot, numbers, (packet, plain), names, padding_only);
    if !padding_only {
        return seal.rtp(numbers.index, slot, start, packet.payload(plain));
    }
    // RFC 3550 section 5.1: the last byte counts the padding, itself included.
    let end = start + usize::from(packet.padding_len);
    let padding = slot.get_mut(start..end)?;
    padding.fill(0);
    *padding.last_mut()? = packet.padding_len;
    seal.rtp_in_place(numbers.index, slot, start, end)
}

/// Writes the header of `packet` (whose plaintext is `bytes`) into `slot`; returns its length.
/// `padding` sets the P bit. Cost: a few nanoseconds per header extension, no allocation.
pub(crate) fn write(
    slot: &mut [u8],
    numbers: Numbers,
    (packet, bytes): (&Packet, &[u8]),
    (ids, mid): (&ExtensionMap, Label),
    padding: bool,
) -> usize {
    let travelling = packet.elements().iter().filter(|element| travels(element.extension));
    let form = ElementForm::for_elements(
        travelling
            .filter_map(|element| Some((ids.id(element.extension)?, usize::from(element.len)))),
    );
    let fixed = FixedHeader {
        payload_type: numbers.payload_type,
        marker: packet.marker,
        sequence: numbers.index as u16,
        timestamp: numbers.timestamp,
        ssrc: numbers.ssrc,
    };
    let mut writer = HeaderWriter::begin(slot, fixed, form);
    if let Some(id) = ids.id(Extension::Mid) {
        writer.element(id, mid.as_bytes());
    }
    for element in packet.elements() {
        let Some(id) = ids.id(element.extension).filter(|_| travels(element.extension)) else {
            continue;
        };
        let start = usize::from(element.offset);
        if let Some(data) = bytes.get(start..start + usize::from(element.len)) {
            writer.element(id, data);
        }
    }
    writer.finish(padding)
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
        let numbers = Numbers { ssrc: 7, payload_type: 111, index: 0x1_0005, timestamp: 0xfeed };
        let mid = Label::new(b"12").expect("short");
        let mut slot = [0u8; 100];
        let len = write(&mut slot, numbers, (&packet, &bytes), (&ids, mid), false);
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
