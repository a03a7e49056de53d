//! The presence service of the demo call at `/demo`: who is in a room, and which tracks of which
//! session they publish. Everything else of the call goes through the API.
//!
//! `respond.rs` has checked that the request is from the server's own page. One request, sent once
//! a second, says what its member does and returns what all of them do; who stays away is left out.
//! Never touches a session.

mod rooms;

use bytes::Bytes;
use serde::Serialize;

use crate::api::Reply;
use crate::error::ApiError;
use crate::wire::decode;

pub(crate) use rooms::Rooms;
use rooms::{Beat, Farewell, Member};

use std::time::Instant;

/// What a request to the presence service does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DemoAction {
    /// PUT: is there, and reads who else is.
    Stay,
    /// DELETE: leaves.
    Leave,
}

/// The members of a room, in the order in which they came.
#[derive(Serialize)]
struct Present {
    members: Vec<Member>,
}

/// Answers one request of a member of a room.
///
/// # Errors
/// [`ApiError::Decoding`] and [`ApiError::InvalidParams`] for a wrong body or name,
/// [`ApiError::Unauthorized`] for another member's name, [`ApiError::Full`].
pub(crate) fn answer(
    rooms: &Rooms,
    action: DemoAction,
    room: &str,
    member: &str,
    body: &Bytes,
    now: Instant,
) -> Result<Reply, ApiError> {
    match action {
        DemoAction::Stay => {
            let beat: Beat = decode(body)?;
            let members = rooms.stay(room, member, beat, now)?;
            Ok(Reply::json(200, &Present { members }))
        }
        DemoAction::Leave => {
            let Farewell { key } = decode(body)?;
            rooms.leave(room, member, &key)?;
            Ok(Reply::json(200, &serde_json::json!({})))
        }
    }
}
