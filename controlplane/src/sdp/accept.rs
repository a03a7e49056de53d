//! A client's answer to our offer (RFC 8829 section 5.11).
//!
//! Called through [`Negotiation::accept_answer`]. Only what the answer repeats counts: payload
//! types, extensions, sections. A refused answer leaves our offer open.

use common::command::DtlsRole;

use super::SdpError;
use super::answer::{encodings, remote_of};
use super::channels;
use super::codecs;
use super::description::{Description, Direction, Payload, Section, SectionKind, Setup};
use super::lines::{Line, State};
use super::negotiation::Negotiation;
use super::outcome::{Accepted, AcceptedOutcome};

impl Negotiation {
    /// Takes the answer to our open offer.
    ///
    /// The result has an entry for each section that carries (or was to carry) a subscription, for
    /// each publication that was offered, and for each one the answer stopped.
    ///
    /// Errors: [`super::SdpErrorKind::Order`] without an open offer, when the sections are not
    /// those of the offer, or when the first answer of a transport picks no DTLS role.
    pub fn accept_answer(&mut self, answer: &Description) -> Result<Vec<Accepted>, SdpError> {
        let pending = self.pending.as_ref();
        let pending =
            pending.ok_or_else(|| SdpError::order("no offer of this server is outstanding"))?;
        check(&self.state, pending, answer)?;
        let mut state = pending.clone();
        state.ids.map = self.state.ids.map;
        state.mixed = answer.extmap_allow_mixed;
        let mut outcomes = Vec::new();
        for (index, section) in answer.sections.iter().enumerate() {
            let Some(mut line) = state.lines.get(index).cloned() else { continue };
            if line.stopped {
                continue;
            }
            let fresh = self.state.line(&line.mid).is_none_or(|agreed| !agreed.publishes);
            let found = if is_refused(&line, section, &answer.bundle) {
                refuse(&mut line)
            } else if line.kind == SectionKind::Application {
                let usable = channels::accept_line(&mut line, section);
                if usable { Vec::new() } else { refuse(&mut line) }
            } else {
                accept_line(&mut state, &mut line, section, fresh)
            };
            let mid = line.mid.clone();
            outcomes
                .extend(found.into_iter().map(|outcome| Accepted { mid: mid.clone(), outcome }));
            if let Some(place) = state.lines.get_mut(index) {
                *place = line;
            }
        }
        settle_group(&mut state, answer);
        if let Some(remote) = remote_of(answer) {
            state.remote = Some(remote);
            state.role.get_or_insert(role(answer));
        }
        self.state = state;
        self.pending = None;
        Ok(outcomes)
    }
}

/// Our role after an answer to `a=setup:actpass` (RFC 8842 section 5.4).
fn role(answer: &Description) -> DtlsRole {
    match answer.transport_section().and_then(|section| section.setup) {
        Some(Setup::Passive) => DtlsRole::Client,
        _ => DtlsRole::Server,
    }
}

/// The answer must have the offer's sections in the offer's order, and pick a role.
fn check(state: &State, pending: &State, answer: &Description) -> Result<(), SdpError> {
    if answer.sections.len() != pending.lines.len() {
        return Err(SdpError::order(format!(
            "the answer has {} media sections, the offer {}",
            answer.sections.len(),
            pending.lines.len()
        )));
    }
    for (line, section) in pending.lines.iter().zip(&answer.sections) {
        let nameless = section.mid.is_empty() && section.zero_port;
        let same = (section.mid == line.mid || nameless) && section.kind == line.kind;
        if !same {
            return Err(SdpError::order(format!(
                "line {}: the answer's sections are not those of the offer",
                section.line
            )));
        }
    }
    // Once a transport stands, its roles stand; some clients then write the other one back.
    let setup = answer.transport_section().and_then(|section| section.setup);
    if state.role.is_none() && setup == Some(Setup::ActPass) {
        return Err(SdpError::order("the answer must say setup:active or setup:passive"));
    }
    Ok(())
}

/// Whether the answer turns a section down: port 0, or not in its group.
fn is_refused(line: &Line, section: &Section, group: &[String]) -> bool {
    section.zero_port || !group.is_empty() && !group.contains(&line.mid)
}

/// Stops a section with what it carried.
fn refuse(line: &mut Line) -> Vec<AcceptedOutcome> {
    let subscribed = line.outbound.as_ref().is_some_and(|outbound| outbound.media.is_some());
    let dropped = subscribed.then_some(AcceptedOutcome::Dropped);
    let unpublished = line.publishes.then_some(AcceptedOutcome::Unpublished);
    *line = line.to_stopped();
    dropped.into_iter().chain(unpublished).collect()
}

/// Narrows one section to what the answer took; without a codec it is turned down. `fresh`: a publication in it is offered just now.
fn accept_line(
    state: &mut State,
    line: &mut Line,
    section: &Section,
    fresh: bool,
) -> Vec<AcceptedOutcome> {
    line.payloads = taken(&line.payloads, section);
    if line.payloads.is_empty() {
        return refuse(line);
    }
    let extensions = &section.extensions;
    line.extensions.retain(|(id, extension)| {
        extensions.iter().any(|known| known.id == *id && known.uri == extension.uri())
    });
    for (id, extension) in &line.extensions {
        state.ids.bind(*id, *extension);
    }
    line.rtcp_rsize &= section.rtcp_rsize;
    line.client = Direction::new(
        line.client.sends() && section.direction.sends(),
        line.client.receives() && section.direction.receives(),
    );
    if !line.client.sends() {
        line.encodings.clear();
    } else if line.encodings.is_empty() {
        line.encodings = encodings(section, &[]);
    }
    let published = if fresh { settle_publication(line) } else { None };
    published.into_iter().chain(settle_half(line)).collect()
}

/// What became of a publication that was offered.
fn settle_publication(line: &mut Line) -> Option<AcceptedOutcome> {
    if !line.publishes {
        return None;
    }
    match line.published().filter(|published| !published.payloads.is_empty()) {
        Some(published) => Some(AcceptedOutcome::Published(published)),
        None => {
            line.publishes = false;
            Some(AcceptedOutcome::Unpublished)
        }
    }
}

/// What became of our half of a section; one that waits for a pull has no outcome.
fn settle_half(line: &mut Line) -> Option<AcceptedOutcome> {
    let subscribed = line.outbound.as_ref()?.media.is_some();
    if subscribed && let Some(receiving) = line.receiving() {
        return Some(AcceptedOutcome::Receiving(receiving));
    }
    if subscribed || !line.client.receives() {
        line.outbound = None;
    }
    subscribed.then_some(AcceptedOutcome::Dropped)
}

/// The offered payload types the answer repeats, in its order, with the feedback it repeats. A client that answers a codec under
/// another number than ours receives it under its own (RFC 3264 section 6.1).
fn taken(offered: &[Payload], section: &Section) -> Vec<Payload> {
    let mut taken: Vec<Payload> = Vec::new();
    for answered in &section.payloads {
        let number = answered.payload_type;
        let is_rtx = answered.format.is("rtx");
        let same = offered.iter().find(|known| {
            known.payload_type == number
                && known.format.name.eq_ignore_ascii_case(&answered.format.name)
        });
        let twin = same.or_else(|| {
            let matching = |known: &&Payload| !is_rtx && known.format.matches(&answered.format);
            offered.iter().find(matching)
        });
        let Some(twin) = twin else { continue };
        let format = if is_rtx { &answered.format } else { &twin.format };
        let kept = |value: &&String| answered.feedback.contains(value);
        taken.push(Payload {
            payload_type: number,
            format: format.clone(),
            feedback: twin.feedback.iter().filter(kept).cloned().collect(),
        });
    }
    let primaries: Vec<u8> = taken.iter().map(|payload| payload.payload_type).collect();
    taken.retain(|payload| {
        !payload.format.is("rtx")
            || payload.format.apt().is_some_and(|apt| primaries.contains(&apt))
    });
    debug_assert!(codecs::rtx_of(&taken, 255).is_none());
    taken
}

/// The group that stands: ours without what was refused.
fn settle_group(state: &mut State, answer: &Description) {
    let order = if answer.bundle.is_empty() { state.bundle.clone() } else { answer.bundle.clone() };
    state.bundle = order.into_iter().filter(|mid| state.line(mid).is_some()).collect();
    let first = state.bundle.first().cloned();
    let kept = state.tag.clone().filter(|tag| state.line(tag).is_some());
    state.tag = kept.or(first).or(state.tag.take());
}
