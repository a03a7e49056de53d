//! Header extensions: which ones a section gets, and the ids they keep for the whole session.
//!
//! Called by the answer and offer builders. An id never changes its meaning within a session
//! (RFC 8285 section 7, RFC 9143 section 9.2 for the scope of the ids), and an id the client ever
//! used for something else is never taken by an offer of ours.

use std::collections::BTreeMap;

use common::media::{Extension, ExtensionMap, MediaKind};

use super::codecs::TRANSPORT_CC;
use super::description::{Direction, ExtensionLine, Payload, Section};

/// A negotiated extension of one section.
pub(crate) type Bound = (u8, Extension);

/// Ids of one session.
#[derive(Clone, Default, Debug)]
pub(crate) struct Ids {
    /// What was negotiated.
    pub(crate) map: ExtensionMap,
    /// Every id either side ever named, by what it named.
    named: BTreeMap<u8, String>,
}

/// Extensions taken where the client sends.
const FROM_PUBLISHER: [Extension; 14] = [
    Extension::Mid,
    Extension::Rid,
    Extension::RepairedRid,
    Extension::TransportCc,
    Extension::AbsSendTime,
    Extension::AbsCaptureTime,
    Extension::AudioLevel,
    Extension::VideoOrientation,
    Extension::PlayoutDelay,
    Extension::VideoContentType,
    Extension::VideoTiming,
    Extension::ColorSpace,
    Extension::DependencyDescriptor,
    Extension::VideoLayersAllocation,
];

/// Extensions taken where only we send, with the ids libwebrtc gives them when it offers first
/// (Chromium 156; 9 and 12 are free in its offers).
const TO_SUBSCRIBER: [(u8, Extension, Option<MediaKind>); 10] = [
    (1, Extension::AudioLevel, Some(MediaKind::Audio)),
    (3, Extension::TransportCc, None),
    (13, Extension::VideoOrientation, Some(MediaKind::Video)),
    (5, Extension::PlayoutDelay, Some(MediaKind::Video)),
    (6, Extension::VideoContentType, Some(MediaKind::Video)),
    (7, Extension::VideoTiming, Some(MediaKind::Video)),
    (8, Extension::ColorSpace, Some(MediaKind::Video)),
    (4, Extension::Mid, None),
    (9, Extension::AbsCaptureTime, None),
    (12, Extension::DependencyDescriptor, Some(MediaKind::Video)),
];

/// What comes beside where the client is to send, with libwebrtc's ids.
const FROM_INVITED: [(u8, Extension, Option<MediaKind>); 2] = [
    (10, Extension::Rid, Some(MediaKind::Video)),
    (11, Extension::RepairedRid, Some(MediaKind::Video)),
];

/// Whether an offered line counts for the direction in which the section's media goes.
fn usable(line: &ExtensionLine, client_sends: bool) -> bool {
    line.direction == Direction::SendRecv
        || line.direction.sends() == client_sends && line.direction != Direction::Inactive
}

/// Whether a section offers transport-wide feedback whole: the numbers in packets and the messages
/// about them. Half of it is no congestion control, so it is turned down.
fn offers_transport_cc(section: &Section) -> bool {
    let numbers = section.extensions.iter().any(|line| {
        line.uri == Extension::TransportCc.uri()
            && line.id <= ExtensionMap::ID_MAX
            && usable(line, section.direction.sends())
    });
    let messages = |payload: &Payload| payload.feedback.iter().any(|f| f == TRANSPORT_CC);
    numbers && section.payloads.iter().any(messages)
}

impl Ids {
    /// Takes from an offered section what we support, in offer order.
    pub(crate) fn accept(&mut self, section: &Section) -> Vec<Bound> {
        let client_sends = section.direction.sends();
        let transport_cc = offers_transport_cc(section);
        let mut bound: Vec<Bound> = Vec::new();
        for line in &section.extensions {
            self.named.entry(line.id).or_insert_with(|| line.uri.clone());
            let Some(extension) = Extension::from_uri(&line.uri) else { continue };
            let supported = if client_sends {
                FROM_PUBLISHER.contains(&extension)
            } else {
                TO_SUBSCRIBER.iter().any(|(_, known, _)| *known == extension)
            };
            let supported = supported && (transport_cc || extension != Extension::TransportCc);
            let usable = usable(line, client_sends);
            let redundant = extension == Extension::AbsSendTime && transport_cc;
            let twice = bound.iter().any(|(_, known)| *known == extension);
            if supported && usable && !redundant && !twice && self.bind(line.id, extension) {
                bound.push((line.id, extension));
            }
        }
        bound
    }

    /// Extensions for a section of ours in which we send, or in which the client is to send.
    pub(crate) fn offer(&mut self, kind: MediaKind, client_sends: bool) -> Vec<Bound> {
        let mut bound = Vec::new();
        let beside: &[_] = if client_sends { &FROM_INVITED } else { &[] };
        for (preferred, extension, only) in TO_SUBSCRIBER.iter().chain(beside).copied() {
            if only.is_some_and(|only| only != kind) {
                continue;
            }
            let Some(id) = self.id_for(extension, preferred) else { continue };
            if self.bind(id, extension) {
                bound.push((id, extension));
            }
        }
        bound
    }

    /// Binds an id for the session. False when the id or the extension is bound otherwise.
    pub(crate) fn bind(&mut self, id: u8, extension: Extension) -> bool {
        if self.map.id(extension).is_some_and(|known| known != id) {
            return false;
        }
        self.map.bind(id, extension)
    }

    /// Remembers ids of another state of this session, without binding them.
    pub(crate) fn remember(&mut self, other: &Ids) {
        for (id, uri) in &other.named {
            self.named.entry(*id).or_insert_with(|| uri.clone());
        }
    }

    /// The id this session uses for an extension: the known one, else the preferred one, else the
    /// lowest that never meant anything.
    fn id_for(&mut self, extension: Extension, preferred: u8) -> Option<u8> {
        let uri = extension.uri();
        if let Some(id) = self.map.id(extension) {
            return Some(id);
        }
        let earlier = self.named.iter().find(|(id, named)| {
            **id <= ExtensionMap::ID_MAX
                && named.as_str() == uri
                && self.map.extension(**id).is_none()
        });
        if let Some((id, _)) = earlier {
            return Some(*id);
        }
        let free = std::iter::once(preferred)
            .chain(1..=ExtensionMap::ID_MAX)
            .find(|id| !self.named.contains_key(id) && self.map.extension(*id).is_none())?;
        self.named.insert(free, uri.to_owned());
        Some(free)
    }
}
