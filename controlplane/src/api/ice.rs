//! PATCH of a stream's session: more candidates, an ICE restart (RFC 9725 section 4.3), or the
//! answer to our offer (WHEP).

use std::sync::Arc;

use hyper::header::ETAG;

use super::streams::{Protocol, SDP, StreamCall, entity_tag, wrong_patch};
use super::{Reply, exchange, renegotiate, whep};
use crate::error::ApiError;
use crate::sdp::{Fragment, Negotiation};
use crate::state::Session;

/// Media type of fragments (RFC 8840 section 9.1).
pub(super) const FRAGMENT: &str = "application/trickle-ice-sdpfrag";

/// Changes a session.
pub(super) async fn change(
    stream: &StreamCall,
    session: &Arc<Session>,
    protocol: Protocol,
) -> Result<Reply, ApiError> {
    let call = &stream.call;
    let answers = protocol == Protocol::Whep && stream.is_of(SDP);
    if !answers && !stream.is_of(FRAGMENT) {
        return Err(wrong_patch(match protocol {
            Protocol::Whip => FRAGMENT,
            Protocol::Whep => whep::PATCHES,
        }));
    }
    let mut work = super::work(call, session).await?;
    if answers {
        renegotiate::accept(call, session, &mut work, &stream.description()?)?;
        return Ok(Reply::empty(204));
    }
    let negotiation = work.negotiation.as_ref().ok_or(ApiError::NoStreamSession)?;
    check(stream.if_match.as_deref(), &entity_tag(Some(negotiation)))?;
    let text = std::str::from_utf8(&call.body);
    let text = text.map_err(|_| ApiError::SdpMalformed("the body is not UTF-8".to_owned()))?;
    let Fragment { ice, mids } = Fragment::parse(text)?;
    if let Some(mid) = mids.iter().find(|mid| !negotiation.has_section(mid)) {
        let text = format!("the session has no media section {mid}");
        return Err(ApiError::Unprocessable(text));
    }
    match ice.filter(|ice| negotiation.restarts_ice(ice)) {
        // Candidates bring nothing that the client's checks do not.
        None => Ok(Reply::empty(204)),
        Some(ice) => {
            exchange::restart(call, session, &mut work, ice)?;
            let fragment = work.negotiation.as_ref().map(Negotiation::write_fragment);
            let reply = Reply::text(200, FRAGMENT, fragment.unwrap_or_default());
            Ok(reply.with(ETAG, &entity_tag(work.negotiation.as_ref())))
        }
    }
}

/// Checks `If-Match` (RFC 9110 section 13.1.1) against the present ICE session. RFC 9725 prints the
/// `*` of a restart in quotes in its examples, so that counts, too.
fn check(if_match: Option<&str>, present: &str) -> Result<(), ApiError> {
    let given = if_match.ok_or(ApiError::PreconditionRequired)?;
    let matches = |tag: &str| tag == present || tag == "*" || tag == "\"*\"";
    match given.split(',').map(str::trim).any(matches) {
        true => Ok(()),
        false => Err(ApiError::PreconditionFailed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_names_the_present_ice_session_or_any() {
        for good in ["\"abc\"", "\"x\", \"abc\"", "*", "\"*\""] {
            assert_eq!(check(Some(good), "\"abc\""), Ok(()), "{good}");
        }
        for bad in ["\"x\"", "abc", "W/\"abc\"", ""] {
            assert_eq!(check(Some(bad), "\"abc\""), Err(ApiError::PreconditionFailed), "{bad}");
        }
        assert_eq!(check(None, "\"abc\""), Err(ApiError::PreconditionRequired));
    }
}
