//! A client's answer to our offer (RFC 8829 section 5.11).
//!
//! Called through [`Negotiation::accept_answer`]. Only what the answer repeats counts: payload
//! types, extensions, sections. A refused answer leaves our offer open.

use super::SdpError;
use super::answer::remote_of;
use super::channels;
use super::codecs;
use super::description::{Description, Direction, Payload, Section, SectionKind, Setup};
use super::lines::{Line, State};
use super::negotiation::Negotiation;
use super::outcome::{Accepted, AcceptedOutcome};

impl Negotiation {
    /// Takes the answer to our open offer.
    ///
    /// The result has an entry for each section that carries (or was to carry) a subscription, and
    /// for each publication the answer stopped.
    ///
    /// Errors: [`super::SdpErrorKind::Order`] without an open offer, when the sections are not
    /// those of the offer, or when the first answer of a session asks for the DTLS server role.
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
            let outcome = accept_line(&mut state, &mut line, section, &answer.bundle);
            outcomes.extend(outcome.map(|outcome| Accepted { mid: line.mid.clone(), outcome }));
            if let Some(place) = state.lines.get_mut(index) {
                *place = line;
            }
        }
        settle_group(&mut state, answer);
        if let Some(remote) = remote_of(answer) {
            state.remote = Some(remote);
        }
        self.state = state;
        self.pending = None;
        Ok(outcomes)
    }
}

/// The answer must have the offer's sections in the offer's order, and leave us the server role.
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
    if state.remote.is_none() && matches!(setup, Some(Setup::Passive | Setup::ActPass)) {
        return Err(SdpError::order(
            "the answer must say setup:active: this server takes the DTLS server role only",
        ));
    }
    Ok(())
}

/// Narrows one section to what the answer took.
fn accept_line(
    state: &mut State,
    line: &mut Line,
    section: &Section,
    group: &[String],
) -> Option<AcceptedOutcome> {
    let subscribed = line.outbound.is_some();
    let application = line.kind == SectionKind::Application;
    let refused = section.zero_port
        || !group.is_empty() && !group.contains(&line.mid)
        || application && !channels::accept_line(line, section);
    if refused {
        let published = line.publishes;
        let formats = vec![section.formats.first().cloned().unwrap_or_else(|| "0".to_owned())];
        let (kind, mid) = (line.kind, line.mid.clone());
        *line = Line::stopped(
            kind,
            line.media.clone(),
            mid,
            line.protocol.clone(),
            formats,
            Vec::new(),
        );
        return match (subscribed, published) {
            (true, _) => Some(AcceptedOutcome::Dropped),
            (false, true) => Some(AcceptedOutcome::Unpublished),
            (false, false) => None,
        };
    }
    if application {
        return None;
    }
    let extensions = &section.extensions;
    line.extensions.retain(|(id, extension)| {
        extensions.iter().any(|known| known.id == *id && known.uri == extension.uri())
    });
    for (id, extension) in &line.extensions {
        state.ids.bind(*id, *extension);
    }
    line.payloads = taken(&line.payloads, section);
    line.rtcp_rsize &= section.rtcp_rsize;
    line.client = Direction::new(
        line.client.sends() && section.direction.sends(),
        line.client.receives() && section.direction.receives(),
    );
    if !line.client.sends() {
        line.encodings.clear();
    }
    if !subscribed {
        return None;
    }
    match line.receiving() {
        Some(receiving) => Some(AcceptedOutcome::Receiving(receiving)),
        None => {
            line.outbound = None;
            Some(AcceptedOutcome::Dropped)
        }
    }
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
