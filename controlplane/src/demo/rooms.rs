//! Rooms and their members. A room is there while it has members, a member while its page asks;
//! both are bounded in number and size. Used by `demo/mod.rs`; time is an argument.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Instant;

use common::limits::{DEMO_MEMBERS_MAX, DEMO_ROOMS_MAX, DEMO_SILENCE};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use crate::error::ApiError;
use crate::state::lock;

/// Longest name of a room, a member's id, and key, in bytes; chosen.
const WORD_MAX: usize = 64;
/// Longest name that a member shows, in characters; chosen.
const NAME_MAX: usize = 40;
/// Tracks of one member: microphone, camera, screen and its sound.
const TRACKS_MAX: usize = 4;

/// What a member tells with every request.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Beat {
    /// Made up by the member with its first request; proves the later ones to be its own.
    key: String,
    name: String,
    session_id: Option<String>,
    #[serde(default)]
    tracks: Vec<Track>,
    #[serde(default)]
    muted: bool,
}

/// What a member tells with its last request.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Farewell {
    pub(super) key: String,
}

/// A track as the others pull it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Track {
    track_name: String,
    source: Source,
}

/// Where a track comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Source {
    Microphone,
    Camera,
    Screen,
    ScreenSound,
}

/// A member as the others see it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Member {
    id: String,
    name: String,
    session_id: Option<String>,
    tracks: Vec<Track>,
    muted: bool,
}

/// A member's place in a room.
#[derive(Debug)]
struct Place {
    member: Member,
    key: String,
    seen: Instant,
}

/// All rooms.
#[derive(Debug, Default)]
pub(crate) struct Rooms(Mutex<HashMap<String, Vec<Place>>>);

impl Rooms {
    /// Notes what a member does and returns the room's members, itself among them.
    ///
    /// # Errors
    /// See [`super::answer`].
    pub(super) fn stay(
        &self,
        room: &str,
        id: &str,
        beat: Beat,
        now: Instant,
    ) -> Result<Vec<Member>, ApiError> {
        beat.check(room, id)?;
        let mut rooms = lock(&self.0);
        if !rooms.contains_key(room) && rooms.len() >= DEMO_ROOMS_MAX {
            sweep(&mut rooms, now);
            if rooms.len() >= DEMO_ROOMS_MAX {
                return Err(ApiError::Full("another room"));
            }
        }
        let places = rooms.entry(room.to_owned()).or_default();
        places.retain(|place| place.member.id == id || !place.is_gone(now));
        let full = places.len() >= DEMO_MEMBERS_MAX;
        match places.iter_mut().find(|place| place.member.id == id) {
            Some(place) if !place.opens(&beat.key) => return Err(ApiError::Unauthorized),
            Some(place) => *place = beat.place(id, now),
            None if full => return Err(ApiError::Full("another member of this room")),
            None => places.push(beat.place(id, now)),
        }
        Ok(places.iter().map(|place| place.member.clone()).collect())
    }

    /// Takes a member out, if it is there.
    ///
    /// # Errors
    /// [`ApiError::Unauthorized`] with another's key.
    pub(super) fn leave(&self, room: &str, id: &str, key: &str) -> Result<(), ApiError> {
        let mut rooms = lock(&self.0);
        let Some(places) = rooms.get_mut(room) else { return Ok(()) };
        let found = places.iter().find(|place| place.member.id == id);
        if found.is_some_and(|place| !place.opens(key)) {
            return Err(ApiError::Unauthorized);
        }
        places.retain(|place| place.member.id != id);
        if places.is_empty() {
            rooms.remove(room);
        }
        Ok(())
    }
}

/// Forgets members that stay away, and rooms without any.
fn sweep(rooms: &mut HashMap<String, Vec<Place>>, now: Instant) {
    rooms.retain(|_, places| {
        places.retain(|place| !place.is_gone(now));
        !places.is_empty()
    });
}

impl Place {
    fn is_gone(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.seen) > DEMO_SILENCE
    }

    fn opens(&self, key: &str) -> bool {
        self.key.as_bytes().ct_eq(key.as_bytes()).into()
    }
}

impl Beat {
    /// Whether everything is as short as it must be.
    fn check(&self, room: &str, id: &str) -> Result<(), ApiError> {
        let wrong = |what: &str| Err(ApiError::InvalidParams(what.to_owned()));
        if !is_word(room) || !is_word(id) || !is_word(&self.key) {
            return wrong("room, member and key: 1 to 64 letters, digits, '-' or '_'");
        }
        if self.name.is_empty() || self.name.chars().count() > NAME_MAX {
            return wrong("name: 1 to 40 characters");
        }
        if self.session_id.as_deref().is_some_and(|session| !is_word(session)) {
            return wrong("sessionId: not one");
        }
        if self.tracks.len() > TRACKS_MAX {
            return wrong("tracks: at most 4");
        }
        if self.tracks.iter().any(|track| !is_word(&track.track_name)) {
            return wrong("trackName: 1 to 64 letters, digits, '-' or '_'");
        }
        Ok(())
    }

    fn place(self, id: &str, now: Instant) -> Place {
        let Self { key, name, session_id, tracks, muted } = self;
        Place {
            member: Member { id: id.to_owned(), name, session_id, tracks, muted },
            key,
            seen: now,
        }
    }
}

fn is_word(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=WORD_MAX).contains(&text.len()) && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Duration;

    use super::*;

    fn beat(key: &str, name: &str) -> Beat {
        let text = format!(
            r#"{{"key":"{key}","name":"{name}","sessionId":"5e55","muted":true,
                "tracks":[{{"trackName":"t","source":"screenSound"}}]}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    fn names(members: &[Member]) -> Vec<&str> {
        members.iter().map(|member| member.name.as_str()).collect()
    }

    #[test]
    fn members_see_each_other_until_they_leave_or_stay_away() {
        let (rooms, start) = (Rooms::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let stay = |id, name, seconds| rooms.stay("r", id, beat(id, name), at(seconds)).unwrap();
        assert_eq!(names(&stay("a", "Ada", 0)), ["Ada"]);
        assert_eq!(names(&stay("b", "Bob", 1)), ["Ada", "Bob"]);
        assert_eq!(rooms.stay("other", "a", beat("a", "Ada"), at(1)).unwrap().len(), 1);
        assert_eq!(rooms.leave("r", "b", "a"), Err(ApiError::Unauthorized));
        assert_eq!(rooms.stay("r", "b", beat("a", "Eve"), at(1)), Err(ApiError::Unauthorized));
        assert_eq!(names(&stay("a", "Ada L.", 2)), ["Ada L.", "Bob"]);
        rooms.leave("r", "b", "b").unwrap();
        assert_eq!(names(&stay("a", "Ada", 3)), ["Ada"]);
        stay("c", "Cid", 4);
        let after = DEMO_SILENCE.as_secs() + 5;
        assert_eq!(names(&stay("a", "Ada", after)), ["Ada"]);
        rooms.leave("r", "a", "a").unwrap();
        assert!(!lock(&rooms.0).contains_key("r"));
    }

    #[test]
    fn rooms_and_members_are_bounded_and_silence_makes_room() {
        let (rooms, start) = (Rooms::default(), Instant::now());
        for number in 0..DEMO_ROOMS_MAX {
            rooms.stay(&format!("r{number}"), "a", beat("k", "n"), start).unwrap();
        }
        let full = rooms.stay("more", "a", beat("k", "n"), start);
        assert_eq!(full, Err(ApiError::Full("another room")));
        for number in 1..DEMO_MEMBERS_MAX {
            rooms.stay("r0", &format!("m{number}"), beat("k", "n"), start).unwrap();
        }
        let full = rooms.stay("r0", "more", beat("k", "n"), start);
        assert_eq!(full, Err(ApiError::Full("another member of this room")));
        let later = start + DEMO_SILENCE + Duration::from_secs(1);
        assert_eq!(rooms.stay("more", "a", beat("k", "n"), later).unwrap().len(), 1);
        assert_eq!(lock(&rooms.0).len(), 1);
    }

    #[test]
    fn what_a_member_says_is_short() {
        let (rooms, now) = (Rooms::default(), Instant::now());
        let refused = |room: &str, id: &str, beat| {
            matches!(rooms.stay(room, id, beat, now), Err(ApiError::InvalidParams(_)))
        };
        let long = "x".repeat(WORD_MAX + 1);
        assert!(refused(&long, "a", beat("k", "n")) && refused("r", "a b", beat("k", "n")));
        assert!(refused("r", "a", beat("", "n")) && refused("r", "a", beat("k", "")));
        assert!(refused("r", "a", beat("k", &"ä".repeat(NAME_MAX + 1))));
        let mut many = beat("k", "n");
        many.tracks = vec![many.tracks[0].clone(); TRACKS_MAX + 1];
        assert!(refused("r", "a", many));
        let name = "ä".repeat(NAME_MAX);
        assert_eq!(names(&rooms.stay("r", "a", beat("k", &name), now).unwrap()), [name.as_str()]);
    }
}
