//! The video layers allocation header extension (`video-layers-allocation00` of libwebrtc, described
//! in its docs/native-code/rtp-hdrext/video-layers-allocation00): the bit rates an encoder aims at.
//!
//! Called for the few packets that carry it: key frames and changes. It tells what a layer will cost
//! before the layer was seen. Must stay total over truncated elements; fixed memory, no allocation.

use crate::cursor;

/// RTP streams (encodings) of a track told apart.
const STREAMS_MAX: usize = 4;
/// Spatial layers of a stream told apart.
const SPATIAL_MAX: usize = 4;
/// Layers in all.
const LAYERS_MAX: usize = STREAMS_MAX * SPATIAL_MAX;
/// Highest bit rate believed, in kbit/s: libwebrtc's own bound.
const RATE_MAX: usize = 1_000_000;

/// What an encoder plans for one spatial layer of one encoding.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct AllocatedLayer {
    /// Index of the encoding among the simulcast encodings of the track, smallest picture first.
    pub stream: u8,
    /// Spatial layer within the encoding.
    pub spatial: u8,
    /// Temporal layers, 1 to 4: how many entries of `kbps` count.
    pub temporal_count: u8,
    /// Bit rate in kbit/s of the decode target up to each temporal layer: what it depends on included.
    pub kbps: [u32; 4],
    /// Width and height in pixels and frames a second, where the element says.
    pub picture: Option<(u32, u32, u8)>,
}

/// What the element of one packet says: every layer that is active, of all encodings of the track.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LayersAllocation {
    /// Index of the encoding whose packet carried the element.
    pub stream: u8,
    layers: [AllocatedLayer; LAYERS_MAX],
    count: u8,
}

impl LayersAllocation {
    /// Reads the data of the element; None when it is cut off or does not end where it should.
    ///
    /// A single zero byte says that nothing is sent.
    pub fn parse(data: &[u8]) -> Option<Self> {
        let head = cursor::u8_at(data, 0)?;
        let mut allocation =
            Self { stream: head >> 6, layers: [AllocatedLayer::default(); LAYERS_MAX], count: 0 };
        if data == [0] {
            return Some(allocation);
        }
        let at = allocation.read_masks(data, head)?;
        let at = allocation.read_temporal_counts(data, at)?;
        let at = allocation.read_rates(data, at)?;
        allocation.read_pictures(data, at)?;
        Some(allocation)
    }

    /// The active layers, by stream and within it by spatial layer.
    pub fn layers(&self) -> &[AllocatedLayer] {
        self.layers.get(..usize::from(self.count)).unwrap_or_default()
    }

    fn active(&mut self) -> impl Iterator<Item = &mut AllocatedLayer> {
        self.layers.iter_mut().take(usize::from(self.count))
    }

    /// Four bits of spatial layers per stream: for all in the first byte, or each its own behind it.
    fn read_masks(&mut self, data: &[u8], head: u8) -> Option<usize> {
        let streams = usize::from(head >> 4 & 3) + 1;
        let common = head & 0x0F;
        let own_len = if common != 0 { 0 } else { streams.div_ceil(2) };
        let mut places = self.layers.iter_mut();
        for stream in 0..streams {
            let mask = match common {
                0 => cursor::u8_at(data, 1 + stream / 2)? >> (4 * (1 - stream % 2)) & 0x0F,
                common => common,
            };
            for spatial in (0..SPATIAL_MAX as u8).filter(|spatial| mask >> spatial & 1 != 0) {
                let layer = places.next()?;
                (layer.stream, layer.spatial) = (stream as u8, spatial);
                self.count += 1;
            }
        }
        Some(1 + own_len)
    }

    /// Two bits per layer, the first in the highest bits of a byte.
    fn read_temporal_counts(&mut self, data: &[u8], at: usize) -> Option<usize> {
        for (index, layer) in self.active().enumerate() {
            let octet = cursor::u8_at(data, at + index / 4)?;
            layer.temporal_count = (octet >> (6 - 2 * (index % 4)) & 3) + 1;
        }
        Some(at + usize::from(self.count).div_ceil(4))
    }

    /// A length-prefixed number per temporal layer.
    fn read_rates(&mut self, data: &[u8], mut at: usize) -> Option<usize> {
        for layer in self.active() {
            for kbps in layer.kbps.iter_mut().take(usize::from(layer.temporal_count)) {
                let (rate, len) = cursor::leb128(data.get(at..)?)?;
                *kbps = u32::try_from(rate.min(RATE_MAX + 1)).ok().filter(|_| rate <= RATE_MAX)?;
                at += len;
            }
        }
        Some(at)
    }

    /// Five bytes per layer, for all of them or none.
    fn read_pictures(&mut self, data: &[u8], mut at: usize) -> Option<()> {
        if at == data.len() {
            return Some(());
        }
        for layer in self.active() {
            let (width, height) = (cursor::u16_at(data, at)?, cursor::u16_at(data, at + 2)?);
            let rate = cursor::u8_at(data, at + 4)?;
            layer.picture = Some((u32::from(width) + 1, u32::from(height) + 1, rate));
            at += 5;
        }
        (at == data.len()).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_layer_as_a_browser_sends_it() {
        let data = [0x01, 0x00, 0x97, 0x02, 0x01, 0x3F, 0x00, 0xEF, 0x0F];
        let allocation = LayersAllocation::parse(&data).unwrap();
        let layer = AllocatedLayer {
            stream: 0,
            spatial: 0,
            temporal_count: 1,
            kbps: [279, 0, 0, 0],
            picture: Some((320, 240, 15)),
        };
        assert_eq!((allocation.stream, allocation.layers()), (0, &[layer][..]));
        for len in 0..data.len() {
            // Without the picture it is whole again.
            assert_eq!(LayersAllocation::parse(&data[..len]).is_some(), len == 4, "{len}");
        }
        assert_eq!(LayersAllocation::parse(&[0]).unwrap().layers(), []);
    }

    #[test]
    fn streams_with_layers_of_their_own() {
        // Stream 1 of 3: masks 0b0001, 0b0011, 0b0100; temporal counts 1, 2, 1, 3.
        let data = [0b0110_0000, 0x13, 0x40, 0b0001_0010, 10, 20, 30, 40, 50, 60, 0x80, 0x01];
        let allocation = LayersAllocation::parse(&data).unwrap();
        let rates = |layer: &AllocatedLayer| layer.kbps[..layer.temporal_count.into()].to_vec();
        let layers = allocation.layers().iter();
        let seen: Vec<_> =
            layers.map(|layer| (layer.stream, layer.spatial, rates(layer))).collect();
        let expected =
            [(0, 0, vec![10]), (1, 0, vec![20, 30]), (1, 1, vec![40]), (2, 2, vec![50, 60, 128])];
        assert_eq!((allocation.stream, seen), (1, expected.to_vec()));
    }

    #[test]
    fn unbelievable_rates_are_refused() {
        let at_bound = [0x01, 0x00, 0xC0, 0x84, 0x3D];
        assert_eq!(LayersAllocation::parse(&at_bound).unwrap().layers()[0].kbps[0], 1_000_000);
        assert_eq!(LayersAllocation::parse(&[0x01, 0x00, 0xC1, 0x84, 0x3D]), None);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(data in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Some(allocation) = LayersAllocation::parse(&data) {
                prop_assert!(allocation.layers().len() <= LAYERS_MAX);
            }
        }
    }
}
