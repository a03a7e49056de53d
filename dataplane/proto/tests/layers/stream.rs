//! Layered streams: structures, the frames they make, and the bytes that describe each frame.

use crate::bits::Bits;

/// A frame template. Indications are letters per decode target of the structure: `-DSR`.
pub(crate) struct Template {
    pub(crate) spatial: u8,
    pub(crate) temporal: u8,
    pub(crate) indications: &'static str,
    pub(crate) chains: &'static [u32],
    pub(crate) differences: &'static [u16],
}

/// A scalability structure of libwebrtc (modules/video_coding/svc): decode targets are ordered by
/// spatial, then temporal layer.
pub(crate) struct Structure {
    pub(crate) spatial: u8,
    pub(crate) temporal: u8,
    /// Whether upper spatial layers refer to lower ones: in every picture, in key pictures, never.
    pub(crate) inter_layer: InterLayer,
    pub(crate) templates: Vec<Template>,
    /// Templates of a key picture.
    pub(crate) key: Vec<usize>,
    /// Templates of the pictures that follow, over and over.
    pub(crate) cycle: Vec<Vec<usize>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum InterLayer {
    Always,
    KeyPictures,
    Never,
}

/// One layer frame.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) number: u16,
    pub(crate) picture: u16,
    pub(crate) template: usize,
    pub(crate) key_picture: bool,
    pub(crate) first_of_picture: bool,
    pub(crate) last_of_picture: bool,
    pub(crate) spatial: u8,
    pub(crate) temporal: u8,
    /// Numbers of the frames it refers to.
    pub(crate) references: Vec<u16>,
}

fn template(
    spatial: u8,
    temporal: u8,
    indications: &'static str,
    chains: &'static [u32],
    differences: &'static [u16],
) -> Template {
    Template { spatial, temporal, indications, chains, differences }
}

pub(crate) fn l1t3() -> Structure {
    Structure {
        spatial: 1,
        temporal: 3,
        inter_layer: InterLayer::Always,
        templates: vec![
            template(0, 0, "SSS", &[0], &[]),
            template(0, 0, "SSS", &[4], &[4]),
            template(0, 1, "-DS", &[2], &[2]),
            template(0, 2, "--D", &[1], &[1]),
            template(0, 2, "--D", &[3], &[1]),
        ],
        key: vec![0],
        cycle: vec![vec![3], vec![2], vec![4], vec![1]],
    }
}

pub(crate) fn l3t3() -> Structure {
    Structure {
        spatial: 3,
        temporal: 3,
        inter_layer: InterLayer::Always,
        templates: vec![
            template(0, 0, "SSSRRRRRR", &[12, 11, 10], &[12]),
            template(0, 0, "SSSSSSSSS", &[0, 0, 0], &[]),
            template(0, 1, "-DS-RR-RR", &[6, 5, 4], &[6]),
            template(0, 2, "--D--R--R", &[3, 2, 1], &[3]),
            template(0, 2, "--D--R--R", &[9, 8, 7], &[3]),
            template(1, 0, "---SSSRRR", &[1, 1, 1], &[12, 1]),
            template(1, 0, "---SSSSSS", &[1, 1, 1], &[1]),
            template(1, 1, "----DS-RR", &[7, 6, 5], &[6, 1]),
            template(1, 2, "-----D--R", &[4, 3, 2], &[3, 1]),
            template(1, 2, "-----D--R", &[10, 9, 8], &[3, 1]),
            template(2, 0, "------SSS", &[2, 1, 1], &[12, 1]),
            template(2, 0, "------SSS", &[2, 1, 1], &[1]),
            template(2, 1, "-------DS", &[8, 7, 6], &[6, 1]),
            template(2, 2, "--------D", &[5, 4, 3], &[3, 1]),
            template(2, 2, "--------D", &[11, 10, 9], &[3, 1]),
        ],
        key: vec![1, 6, 11],
        cycle: vec![vec![3, 8, 13], vec![2, 7, 12], vec![4, 9, 14], vec![0, 5, 10]],
    }
}

pub(crate) fn l3t3_key() -> Structure {
    Structure {
        spatial: 3,
        temporal: 3,
        inter_layer: InterLayer::KeyPictures,
        templates: vec![
            template(0, 0, "SSSSSSSSS", &[0, 0, 0], &[]),
            template(0, 0, "SSS------", &[12, 11, 10], &[12]),
            template(0, 1, "-DS------", &[6, 5, 4], &[6]),
            template(0, 2, "--D------", &[3, 2, 1], &[3]),
            template(0, 2, "--D------", &[9, 8, 7], &[3]),
            template(1, 0, "---SSSSSS", &[1, 1, 1], &[1]),
            template(1, 0, "---SSS---", &[1, 12, 11], &[12]),
            template(1, 1, "----DS---", &[7, 6, 5], &[6]),
            template(1, 2, "-----D---", &[4, 3, 2], &[3]),
            template(1, 2, "-----D---", &[10, 9, 8], &[3]),
            template(2, 0, "------SSS", &[2, 1, 1], &[1]),
            template(2, 0, "------SSS", &[2, 1, 12], &[12]),
            template(2, 1, "-------DS", &[8, 7, 6], &[6]),
            template(2, 2, "--------D", &[5, 4, 3], &[3]),
            template(2, 2, "--------D", &[11, 10, 9], &[3]),
        ],
        key: vec![0, 5, 10],
        cycle: vec![vec![3, 8, 13], vec![2, 7, 12], vec![4, 9, 14], vec![1, 6, 11]],
    }
}

pub(crate) fn s3t3() -> Structure {
    let l3t3 = l3t3();
    let own = ["SSS------", "---SSS---", "------SSS"];
    let middle = ["-DS------", "----DS---", "-------DS"];
    let high = ["--D------", "-----D---", "--------D"];
    // The same places in the picture as in L3T3, each layer on its own.
    let alone = |(index, template): (usize, Template)| {
        let spatial = usize::from(template.spatial);
        let indications = [own, middle, high][usize::from(template.temporal)][spatial];
        let key = l3t3.key.contains(&index);
        let differences = if key { &[] } else { &template.differences[..1] };
        Template { indications, differences, ..template }
    };
    Structure {
        spatial: 3,
        temporal: 3,
        inter_layer: InterLayer::Never,
        templates: l3t3.templates.into_iter().enumerate().map(alone).collect(),
        key: vec![1, 6, 11],
        cycle: l3t3.cycle,
    }
}

impl Structure {
    /// The frames of `pictures`, each true for a key picture; the first always is one.
    pub(crate) fn frames(&self, pictures: &[bool]) -> Vec<Frame> {
        let (mut frames, mut step) = (Vec::new(), 0);
        for (picture, key) in pictures.iter().enumerate() {
            let key_picture = *key || picture == 0;
            step = if key_picture { 0 } else { step + 1 };
            let templates =
                if key_picture { &self.key } else { &self.cycle[(step - 1) % self.cycle.len()] };
            for (place, index) in templates.iter().enumerate() {
                let template = &self.templates[*index];
                let number = 65_500_u16.wrapping_add(frames.len() as u16);
                let reference = |difference: &u16| number.wrapping_sub(*difference);
                frames.push(Frame {
                    number,
                    picture: 32_760 + picture as u16,
                    template: *index,
                    key_picture,
                    first_of_picture: place == 0,
                    last_of_picture: place + 1 == templates.len(),
                    spatial: template.spatial,
                    temporal: template.temporal,
                    references: template.differences.iter().map(reference).collect(),
                });
            }
        }
        frames
    }

    pub(crate) fn targets(&self) -> u32 {
        u32::from(self.spatial * self.temporal)
    }

    /// Letter of a template for the decode target of a layer.
    pub(crate) fn letter(&self, template: usize, spatial: u8, temporal: u8) -> u8 {
        let target =
            spatial.min(self.spatial - 1) * self.temporal + temporal.min(self.temporal - 1);
        self.templates[template].indications.as_bytes()[usize::from(target)]
    }

    /// The dependency descriptor of a one-packet frame, with the structure on key pictures and with
    /// the decode targets that are active, where given.
    pub(crate) fn descriptor(&self, frame: &Frame, active: Option<u32>) -> Vec<u8> {
        let mut bits = Bits::default();
        let id = (TEMPLATE_ID_OFFSET + frame.template as u32) % 64;
        bits.put(0b11, 2).put(id, 6).put(frame.number.into(), 16);
        let has_structure = frame.key_picture && frame.first_of_picture;
        if has_structure || active.is_some() {
            bits.put(has_structure.into(), 1).put(active.is_some().into(), 1).put(0, 3);
        }
        if has_structure {
            self.write(&mut bits);
        }
        if let Some(active) = active {
            bits.put(active, self.targets());
        }
        bits.bytes()
    }

    /// template_dependency_structure() of AV1 RTP specification v1.0.0, appendix A.8.2.
    pub(crate) fn write(&self, bits: &mut Bits) {
        bits.put(TEMPLATE_ID_OFFSET, 6).put(self.targets() - 1, 5);
        for pair in self.templates.windows(2) {
            let step =
                match (pair[1].spatial > pair[0].spatial, pair[1].temporal > pair[0].temporal) {
                    (true, _) => 2,
                    (false, true) => 1,
                    (false, false) => 0,
                };
            bits.put(step, 2);
        }
        bits.put(3, 2);
        for letter in self.templates.iter().flat_map(|template| template.indications.bytes()) {
            bits.put(indication(letter), 2);
        }
        for template in &self.templates {
            for difference in template.differences {
                bits.put(1, 1).put(u32::from(*difference) - 1, 4);
            }
            bits.put(0, 1);
        }
        let chains = u32::from(self.spatial);
        bits.put_below(chains, self.targets() + 1);
        for target in 0..self.targets() {
            bits.put_below(target / u32::from(self.temporal), chains);
        }
        for chain in self.templates.iter().flat_map(|template| template.chains) {
            bits.put(*chain, 4);
        }
        bits.put(1, 1);
        for spatial in 0..self.spatial {
            bits.put((320 << spatial) - 1, 16).put((180 << spatial) - 1, 16);
        }
    }

    /// The VP9 descriptor of a one-packet layer frame (RFC 9628 section 4.2), with the scalability
    /// structure on key pictures.
    pub(crate) fn vp9(&self, frame: &Frame, flexible: bool) -> Vec<u8> {
        let (own, upper): (Vec<u16>, Vec<u16>) = frame
            .references
            .iter()
            .map(|reference| frame.number.wrapping_sub(*reference))
            .partition(|difference| *difference >= u16::from(self.spatial));
        let inherits = match self.inter_layer {
            InterLayer::Always => true,
            InterLayer::KeyPictures => frame.key_picture,
            InterLayer::Never => false,
        };
        let starts_stream = frame.key_picture && frame.first_of_picture;
        let mut bits = Bits::default();
        bits.put(1, 1).put(u32::from(!own.is_empty()), 1).put(1, 1).put(flexible.into(), 1);
        bits.put(0b11, 2).put(starts_stream.into(), 1);
        bits.put(u32::from(!inherits || frame.spatial + 1 == self.spatial), 1);
        bits.put(1, 1).put(frame.picture.into(), 15);
        bits.put(frame.temporal.into(), 3).put(1, 1).put(frame.spatial.into(), 3);
        bits.put(u32::from(!upper.is_empty()), 1);
        if flexible {
            for (place, difference) in own.iter().enumerate() {
                let pictures = u32::from(*difference) / u32::from(self.spatial);
                bits.put(pictures, 7).put(u32::from(place + 1 < own.len()), 1);
            }
        } else {
            bits.put(7, 8);
        }
        if starts_stream {
            bits.put(u32::from(self.spatial) - 1, 3).put(0, 5);
        }
        bits.put(0xAA, 8);
        bits.bytes()
    }
}

/// So high that template ids wrap.
const TEMPLATE_ID_OFFSET: u32 = 58;

/// AV1 RTP specification v1.0.0, table A.1.
pub(crate) fn indication(letter: u8) -> u32 {
    match letter {
        b'-' => 0,
        b'D' => 1,
        b'S' => 2,
        _ => 3,
    }
}

/// VP8 with three temporal layers over eight pictures, layer syncs in the first half: (temporal
/// layer, layer sync, pictures it refers to, counted backwards).
pub(crate) const VP8_T3: [(u8, bool, &[u16]); 8] = [
    (0, false, &[4]),
    (2, true, &[1]),
    (1, true, &[2]),
    (2, false, &[1, 2, 3]),
    (0, false, &[4]),
    (2, false, &[1, 2, 3]),
    (1, false, &[2, 4]),
    (2, false, &[1, 2, 3]),
];

/// The descriptor and the first payload byte of a one-packet VP8 frame.
pub(crate) fn vp8(picture: u16, key: bool) -> Vec<u8> {
    let (temporal, sync, _) = VP8_T3[usize::from(picture % 8)];
    let mut bits = Bits::default();
    bits.put(0b1001_0000, 8).put(0b1110_0000, 8).put(1, 1).put(picture.into(), 15);
    bits.put(u32::from(picture / 4), 8).put(temporal.into(), 2).put(sync.into(), 1).put(0, 5);
    bits.put(u32::from(!key), 8);
    bits.bytes()
}
