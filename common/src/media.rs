//! Media facts as the data plane needs them: codecs, payload types, header extensions. The control
//! plane compiles them from SDP; the data plane has never seen SDP.

/// Whether a track carries sound or pictures.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum MediaKind {
    /// RTP audio.
    Audio,
    /// RTP video.
    Video,
}

/// The codec of a payload type, as far as the data plane treats codecs differently.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Codec {
    /// RFC 7587.
    Opus,
    /// RFC 3551 PCMU.
    Pcmu,
    /// RFC 3551 PCMA.
    Pcma,
    /// RFC 2198 redundant audio.
    Red,
    /// RFC 7741.
    Vp8,
    /// RFC 9628.
    Vp9,
    /// RFC 6184.
    H264,
    /// RFC 7798.
    H265,
    /// AOMedia "RTP Payload Format For AV1".
    Av1,
    /// Anything else both sides agreed on (comfort noise, telephone-event, G.722).
    Other,
}

impl Codec {
    /// Whether it is one of the audio codecs known by name.
    pub const fn is_audio(self) -> bool {
        matches!(self, Codec::Opus | Codec::Pcmu | Codec::Pcma | Codec::Red)
    }
}

/// RTP header extensions the data plane knows (RFC 8285 elements by their URI).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum Extension {
    /// `urn:ietf:params:rtp-hdrext:sdes:mid` (RFC 9143).
    Mid,
    /// `urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id` (RFC 8852).
    Rid,
    /// `urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id` (RFC 8852).
    RepairedRid,
    /// `http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01`.
    TransportCc,
    /// `http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time`.
    AbsSendTime,
    /// `http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time`.
    AbsCaptureTime,
    /// `urn:ietf:params:rtp-hdrext:ssrc-audio-level` (RFC 6464).
    AudioLevel,
    /// `urn:ietf:params:rtp-hdrext:toffset` (RFC 5450).
    TransmissionOffset,
    /// `urn:3gpp:video-orientation`.
    VideoOrientation,
    /// `http://www.webrtc.org/experiments/rtp-hdrext/playout-delay`.
    PlayoutDelay,
    /// `http://www.webrtc.org/experiments/rtp-hdrext/video-content-type`.
    VideoContentType,
    /// `http://www.webrtc.org/experiments/rtp-hdrext/video-timing`.
    VideoTiming,
    /// `http://www.webrtc.org/experiments/rtp-hdrext/color-space`.
    ColorSpace,
    /// `https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension`.
    DependencyDescriptor,
    /// `http://www.webrtc.org/experiments/rtp-hdrext/video-layers-allocation00`.
    VideoLayersAllocation,
}

impl Extension {
    /// Every known extension, in declaration order: `ALL[e as usize] == e`.
    pub const ALL: [Extension; 15] = [
        Extension::Mid,
        Extension::Rid,
        Extension::RepairedRid,
        Extension::TransportCc,
        Extension::AbsSendTime,
        Extension::AbsCaptureTime,
        Extension::AudioLevel,
        Extension::TransmissionOffset,
        Extension::VideoOrientation,
        Extension::PlayoutDelay,
        Extension::VideoContentType,
        Extension::VideoTiming,
        Extension::ColorSpace,
        Extension::DependencyDescriptor,
        Extension::VideoLayersAllocation,
    ];

    /// The URI that names this extension in `a=extmap`.
    pub const fn uri(self) -> &'static str {
        match self {
            Extension::Mid => "urn:ietf:params:rtp-hdrext:sdes:mid",
            Extension::Rid => "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id",
            Extension::RepairedRid => "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id",
            Extension::TransportCc => {
                "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
            }
            Extension::AbsSendTime => "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
            Extension::AbsCaptureTime => {
                "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time"
            }
            Extension::AudioLevel => "urn:ietf:params:rtp-hdrext:ssrc-audio-level",
            Extension::TransmissionOffset => "urn:ietf:params:rtp-hdrext:toffset",
            Extension::VideoOrientation => "urn:3gpp:video-orientation",
            Extension::PlayoutDelay => "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay",
            Extension::VideoContentType => {
                "http://www.webrtc.org/experiments/rtp-hdrext/video-content-type"
            }
            Extension::VideoTiming => "http://www.webrtc.org/experiments/rtp-hdrext/video-timing",
            Extension::ColorSpace => "http://www.webrtc.org/experiments/rtp-hdrext/color-space",
            Extension::DependencyDescriptor => {
                "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension"
            }
            Extension::VideoLayersAllocation => {
                "http://www.webrtc.org/experiments/rtp-hdrext/video-layers-allocation00"
            }
        }
    }

    /// The extension an `a=extmap` URI names, if it is one we know.
    pub fn from_uri(uri: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|extension| extension.uri() == uri)
    }
}

/// Which extension travels under which id (1 to 14, the one-byte form of RFC 8285) on one
/// transport. Ids are unique per BUNDLE group, so one map serves a whole peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ExtensionMap {
    by_id: [Option<Extension>; 15],
    by_extension: [u8; Extension::ALL.len()],
}

impl ExtensionMap {
    /// Highest id of the one-byte form (RFC 8285 section 4.2).
    pub const ID_MAX: u8 = 14;

    /// Binds `id` to `extension`. Returns false, and changes nothing, when the id is out of range
    /// or taken by another extension.
    pub fn bind(&mut self, id: u8, extension: Extension) -> bool {
        let Some(place) = self.by_id.get_mut(usize::from(id)).filter(|_| id != 0) else {
            return false;
        };
        if place.is_some_and(|taken| taken != extension) {
            return false;
        }
        *place = Some(extension);
        self.by_extension[extension as usize] = id;
        true
    }

    /// The extension under `id`.
    pub fn extension(&self, id: u8) -> Option<Extension> {
        self.by_id.get(usize::from(id)).copied().flatten()
    }

    /// The id of `extension`.
    pub fn id(&self, extension: Extension) -> Option<u8> {
        match self.by_extension[extension as usize] {
            0 => None,
            id => Some(id),
        }
    }
}

/// A short ASCII label (MID or RID) stored inline: no allocation when packets are matched with it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Label {
    len: u8,
    bytes: [u8; Label::LEN_MAX],
}

impl Label {
    /// Longest label that fits an RFC 8285 one-byte extension element.
    pub const LEN_MAX: usize = 16;

    /// Stores `text`; None when it is empty or longer than [`Label::LEN_MAX`] bytes.
    pub fn new(text: &[u8]) -> Option<Self> {
        if text.is_empty() || text.len() > Self::LEN_MAX {
            return None;
        }
        let mut bytes = [0; Self::LEN_MAX];
        bytes[..text.len()].copy_from_slice(text);
        Some(Self { len: text.len() as u8, bytes })
    }

    /// The label's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl std::fmt::Debug for Label {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(self.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_extension_sits_at_its_own_index_and_is_found_by_uri() {
        for (index, extension) in Extension::ALL.into_iter().enumerate() {
            assert_eq!(extension as usize, index);
            assert_eq!(Extension::from_uri(extension.uri()), Some(extension));
        }
    }

    #[test]
    fn an_id_is_bound_once_and_only_in_range() {
        let mut map = ExtensionMap::default();
        assert!(!map.bind(0, Extension::Mid));
        assert!(!map.bind(15, Extension::Mid));
        assert!(map.bind(4, Extension::Mid));
        assert!(!map.bind(4, Extension::Rid));
        assert_eq!(map.extension(4), Some(Extension::Mid));
        assert_eq!(map.id(Extension::Mid), Some(4));
        assert_eq!(map.id(Extension::Rid), None);
    }
}
