//! The vocabulary of events: their types and the reasons they give. The API's document is made of
//! these tables, and webhooks name their types by them.

use std::borrow::Cow;

use common::event::CloseReason;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};

/// What happened.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Kind {
    /// A session's transport is up.
    SessionConnected,
    /// A session ended.
    SessionClosed,
    /// The first packet of a track arrived.
    TrackStarted,
    /// A track that had started ended.
    TrackStopped,
    /// An encoding of a simulcast track began to send.
    LayerAvailable,
    /// It stopped while others go on.
    LayerGone,
    /// Somebody began to speak.
    SpeakerStarted,
    /// Somebody stopped speaking.
    SpeakerStopped,
    /// The level of a track changed.
    AudioLevel,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 9] = [
        Kind::SessionConnected,
        Kind::SessionClosed,
        Kind::TrackStarted,
        Kind::TrackStopped,
        Kind::LayerAvailable,
        Kind::LayerGone,
        Kind::SpeakerStarted,
        Kind::SpeakerStopped,
        Kind::AudioLevel,
    ];

    /// Name, meaning, and the fields it has beyond those of every event: the table.
    pub fn parts(self) -> (&'static str, &'static str, &'static [&'static str]) {
        match self {
            Self::SessionConnected => {
                ("session.connected", "The transport of a session is up: media may flow.", &[])
            }
            Self::SessionClosed => {
                ("session.closed", "A session ended, connected or not.", &["reason"])
            }
            Self::TrackStarted => (
                "track.started",
                "The first packet of a published track arrived.",
                &["trackName", "mid", "kind"],
            ),
            Self::TrackStopped => (
                "track.stopped",
                "A track that had started ended, its layers and its speaker with it.",
                &["reason", "trackName", "mid", "kind"],
            ),
            Self::LayerAvailable => (
                "layer.available",
                "Packets of an encoding of a simulcast track arrive.",
                &["trackName", "mid", "kind", "rid"],
            ),
            Self::LayerGone => (
                "layer.gone",
                "No packet of an encoding arrived for a second, while others of its track did.",
                &["trackName", "mid", "kind", "rid"],
            ),
            Self::SpeakerStarted => (
                "speaker.started",
                "Somebody began to speak on an audio track.",
                &["trackName", "mid", "kind", "audioLevel"],
            ),
            Self::SpeakerStopped => (
                "speaker.stopped",
                "Nobody has spoken on an audio track for half a second.",
                &["trackName", "mid", "kind", "audioLevel"],
            ),
            Self::AudioLevel => (
                "audio.level",
                "An audio track became louder or quieter by more than 6 dB, told once a second at \
                 most.",
                &["trackName", "mid", "kind", "audioLevel"],
            ),
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        self.parts().0
    }

    /// The types of a list of names with commas between.
    ///
    /// # Errors
    /// The first name that is none.
    pub fn list(names: &str) -> Result<Vec<Self>, String> {
        let named = |name: &str| Self::ALL.into_iter().find(|kind| kind.name() == name);
        names.split(',').map(|name| named(name).ok_or_else(|| name.to_owned())).collect()
    }
}

/// Why a session or a track ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Reason {
    /// [`CloseReason::CloseNotify`].
    Left,
    /// The API was asked for it.
    Ended,
    /// [`CloseReason::ConsentExpired`].
    Lost,
    /// Nobody connected in time.
    NotConnected,
    /// [`CloseReason::FingerprintMismatch`] or [`CloseReason::HandshakeFailed`].
    HandshakeFailed,
    /// Its first offer was refused.
    Refused,
    /// Another publisher took over its stream.
    Replaced,
    /// What its stream had was over.
    StreamEnded,
    /// No packets for [`common::limits::TRACK_SILENCE`].
    Silent,
    /// Its session ended.
    SessionClosed,
    /// Its app was deleted.
    AppDeleted,
    /// [`CloseReason::CoreFull`].
    Full,
    /// [`CloseReason::Aborted`].
    Aborted,
    /// The server stopped.
    ServerStopped,
}

impl Reason {
    /// All of them.
    pub const ALL: [Reason; 14] = [
        Reason::Left,
        Reason::Ended,
        Reason::Lost,
        Reason::NotConnected,
        Reason::HandshakeFailed,
        Reason::Refused,
        Reason::Replaced,
        Reason::StreamEnded,
        Reason::Silent,
        Reason::SessionClosed,
        Reason::AppDeleted,
        Reason::Full,
        Reason::Aborted,
        Reason::ServerStopped,
    ];

    /// Name and meaning: the table.
    pub fn parts(self) -> (&'static str, &'static str) {
        match self {
            Self::Left => ("left", "the client closed its PeerConnection"),
            Self::Ended => ("ended", "the API or the client's description ended it"),
            Self::Lost => ("lost", "nothing came from the client for 30 seconds"),
            Self::NotConnected => ("not_connected", "nobody connected within 30 seconds"),
            Self::HandshakeFailed => {
                ("handshake_failed", "the DTLS handshake failed, or showed another certificate")
            }
            Self::Refused => ("refused", "its first offer was refused"),
            Self::Replaced => ("replaced", "another publisher took over its stream"),
            Self::StreamEnded => ("stream_ended", "its stream ended, or can be watched no more"),
            Self::Silent => ("silent", "no packet came for 30 seconds"),
            Self::SessionClosed => ("session_closed", "its session ended"),
            Self::AppDeleted => ("app_deleted", "its app was deleted"),
            Self::Full => ("full", "the node has no room for it"),
            Self::Aborted => ("aborted", "a fault of the server"),
            Self::ServerStopped => ("server_stopped", "the server stops"),
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        self.parts().0
    }
}

impl From<CloseReason> for Reason {
    fn from(reason: CloseReason) -> Self {
        match reason {
            CloseReason::Requested => Self::Ended,
            CloseReason::CloseNotify => Self::Left,
            CloseReason::ConsentExpired => Self::Lost,
            CloseReason::FingerprintMismatch | CloseReason::HandshakeFailed => {
                Self::HandshakeFailed
            }
            CloseReason::CoreFull => Self::Full,
            CloseReason::Aborted => Self::Aborted,
        }
    }
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.name())
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.name())
    }
}

impl JsonSchema for Kind {
    fn schema_name() -> Cow<'static, str> {
        "EventType".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        words(Self::ALL.iter().map(|kind| (kind.name(), kind.parts().1)))
    }
}

impl JsonSchema for Reason {
    fn schema_name() -> Cow<'static, str> {
        "EventReason".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        words(Self::ALL.iter().map(|reason| reason.parts()))
    }
}

/// One of these words, each with its meaning.
fn words(words: impl Iterator<Item = (&'static str, &'static str)>) -> Schema {
    let one = |(word, about)| json_schema!({ "const": word, "description": about });
    json_schema!({ "type": "string", "oneOf": words.map(one).collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_word_is_there_once() {
        let kinds: BTreeSet<_> = Kind::ALL.iter().map(|kind| kind.name()).collect();
        let reasons: BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.name()).collect();
        assert_eq!((kinds.len(), reasons.len()), (Kind::ALL.len(), Reason::ALL.len()));
    }

    #[test]
    fn a_list_holds_names_alone() {
        let names = Kind::ALL.map(Kind::name).join(",");
        assert_eq!(Kind::list(&names).unwrap(), Kind::ALL);
        for (wrong, which) in [("", ""), ("track.started,", ""), ("lost", "lost")] {
            assert_eq!(Kind::list(wrong), Err(which.to_owned()));
        }
    }
}
