//! A client's offer to our answer (RFC 8829 section 5.3).
//!
//! Called through [`Negotiation::answer`]. Every offered section is answered in its place, named by
//! a wish or not; the result is built on a copy of the state, so that a refused offer changes
//! nothing.

use common::command::{DtlsRole, Encoding};
use common::limits::ENCODINGS_MAX;
use common::media::{Extension, Label};

use super::SdpError;
use super::channels;
use super::codecs::{self, Congestion};
use super::description::{Description, Direction, Section, Setup};
use super::extensions::Bound;
use super::lines::{Line, Outbound, Remote, State};
use super::negotiation::Negotiation;
use super::outcome::{Answered, Wish, WishError, WishOutcome};

impl Negotiation {
    /// Answers a client's offer and does what `wishes` ask on the way.
    ///
    /// Every section keeps what it carried unless the offer stops it or a wish changes it. A wish
    /// that cannot be granted fails alone; the answer stands.
    ///
    /// Errors: [`super::SdpErrorKind::Order`] while our own offer is open, or when sections vanished
    /// or changed their mid or kind.
    pub fn answer(&mut self, offer: &Description, wishes: &[Wish]) -> Result<Answered, SdpError> {
        if self.pending.is_some() {
            return Err(SdpError::order("an offer of this server waits for its answer"));
        }
        check_continuity(&self.state, offer)?;
        let mut state = self.state.clone();
        let ended = ended(&state, offer);
        state.mixed = offer.extmap_allow_mixed;
        state.lines.truncate(offer.sections.len());
        let bundled = bundled_mids(offer);
        let channels = channels::chosen(&state, offer);
        for (index, section) in offer.sections.iter().enumerate() {
            let old = state.lines.get(index).filter(|old| old.mid == section.mid).cloned();
            let taken = section.stopped || bundled.contains(&section.mid.as_str());
            let line = match section.sctp.filter(|_| channels.as_ref() == Some(&section.mid)) {
                Some(sctp) => channels::answer_line(section, sctp, old),
                None => answer_line(&mut state, section, old, taken),
            };
            match state.lines.get_mut(index) {
                Some(place) => *place = line,
                None => state.lines.push(line),
            }
        }
        let outcomes = wishes.iter().map(|wish| grant(&mut state, offer, wish)).collect();
        settle_group(&mut state, offer);
        if let Some(remote) = remote_of(offer) {
            state.remote = Some(remote);
            state.role.get_or_insert(role(offer));
        }
        self.state = state;
        Ok(Answered { sdp: self.write_answer(), outcomes, ended })
    }
}

/// The client's transport as a description announces it; None when no section lives.
pub(super) fn remote_of(description: &Description) -> Option<Remote> {
    let section = description.transport_section()?;
    Some(Remote { ice: section.ice.clone()?, fingerprint: section.fingerprint? })
}

/// Our role on a new transport: the server's, which saves a round trip, unless the client claims it
/// (RFC 8842 section 5.3).
fn role(offer: &Description) -> DtlsRole {
    match offer.transport_section().and_then(|section| section.setup) {
        Some(Setup::Passive) => DtlsRole::Client,
        Some(Setup::Active | Setup::ActPass) | None => DtlsRole::Server,
    }
}

/// RFC 8829 section 5.2.2: sections stay in their place for ever; only a stopped one may come back
/// under another mid.
fn check_continuity(state: &State, offer: &Description) -> Result<(), SdpError> {
    if offer.sections.len() < state.lines.len() {
        return Err(SdpError::order("the offer has fewer media sections than the session"));
    }
    for (line, section) in state.lines.iter().zip(&offer.sections) {
        let same = line.mid == section.mid && line.kind == section.kind;
        let nameless = section.stopped && section.mid.is_empty();
        if !line.stopped && !same && !nameless {
            return Err(SdpError::order(format!(
                "media section {} changed its mid or kind while it lives",
                line.mid
            )));
        }
    }
    Ok(())
}

/// Sections that carried something and are stopped by this offer.
fn ended(state: &State, offer: &Description) -> Vec<String> {
    let carried = |line: &&Line| !line.stopped && (line.publishes || line.outbound.is_some());
    state
        .lines
        .iter()
        .zip(&offer.sections)
        .filter(|(line, section)| carried(line) && section.stopped)
        .map(|(line, _)| line.mid.clone())
        .collect()
}

/// Mids that can share the one transport: the offered group, or the first live section when there
/// is no group (RFC 9143 section 7.3).
pub(super) fn bundled_mids(offer: &Description) -> Vec<&str> {
    if offer.bundle.is_empty() {
        let first = offer.transport_section();
        return first.map(|section| section.mid.as_str()).into_iter().collect();
    }
    offer.bundle.iter().map(String::as_str).collect()
}

/// The answered form of one section, before wishes. `old` is what this mid was before.
fn answer_line(state: &mut State, section: &Section, old: Option<Line>, bundled: bool) -> Line {
    let kind = section.kind.media().filter(|_| bundled && !section.stopped && section.rtcp_mux);
    let payloads = kind.map(|kind| codecs::acceptable(&section.payloads, kind));
    let (Some(kind), Some(mut payloads)) = (kind, payloads.filter(|payloads| !payloads.is_empty()))
    else {
        return rejected(section);
    };
    state.payloads.note(kind, &section.payloads);
    let extensions = state.ids.accept(section);
    codecs::keep_feedback(&mut payloads, congestion(section, &extensions));
    let old = old.filter(|old| !old.stopped);
    if let Some(old) = old.as_ref().filter(|old| old.ours) {
        payloads = codecs::keep_numbers(&old.payloads, payloads, kind);
    }
    let (closed, publishes, outbound, ours) = match old {
        Some(old) => (old.closed, old.publishes, old.outbound, old.ours),
        None => (false, false, None, false),
    };
    let has_rid = extensions.iter().any(|(_, extension)| *extension == Extension::Rid);
    let rids = if has_rid && section.direction.sends() { simulcast(section) } else { Vec::new() };
    let outbound = outbound.filter(|outbound| {
        let maps = |media| codecs::map(media, &payloads, outbound.rtx_ssrc.is_some()).is_some();
        outbound.media.as_ref().is_none_or(maps)
    });
    Line {
        mid: section.mid.clone(),
        kind: section.kind,
        media: section.media.clone(),
        protocol: section.protocol.clone(),
        formats: Vec::new(),
        stopped: false,
        closed,
        client: section.direction,
        encodings: encodings(section, &rids),
        payloads,
        extensions,
        rtcp_rsize: section.rtcp_rsize,
        rids,
        publishes,
        outbound,
        ours,
        sctp: None,
    }
}

/// How congestion is reported in an answered section.
fn congestion(section: &Section, extensions: &[Bound]) -> Congestion {
    if extensions.iter().any(|(_, extension)| *extension == Extension::TransportCc) {
        Congestion::TransportWide
    } else if section.direction.sends() {
        Congestion::Remb
    } else {
        Congestion::None
    }
}

/// A section we turn down, or the client stopped: it shows one of the offered formats, as the
/// grammar wants one.
fn rejected(section: &Section) -> Line {
    let first = section.formats.first().cloned().unwrap_or_else(|| "0".to_owned());
    let payloads = section
        .payloads
        .iter()
        .filter(|payload| payload.payload_type.to_string() == first)
        .take(1)
        .cloned()
        .collect();
    let (kind, mid) = (section.kind, section.mid.clone());
    Line::stopped(kind, section.media.clone(), mid, section.protocol.clone(), vec![first], payloads)
}

/// RIDs of the simulcast streams we take.
fn simulcast(section: &Section) -> Vec<String> {
    section.simulcast_send.iter().take(ENCODINGS_MAX).cloned().collect()
}

/// The streams the client announces in a section. Signalled SSRCs belong to the RIDs in their order
/// when there is one for each; otherwise they are learnt from the packets.
pub(super) fn encodings(section: &Section, rids: &[String]) -> Vec<Encoding> {
    if !section.direction.sends() {
        return Vec::new();
    }
    let is_rtx = |ssrc: &u32| section.fid_groups.iter().any(|(_, rtx)| rtx == ssrc);
    let primaries: Vec<u32> = section.ssrcs.iter().copied().filter(|ssrc| !is_rtx(ssrc)).collect();
    let rtx_of = |ssrc: u32| {
        section.fid_groups.iter().find(|(primary, _)| *primary == ssrc).map(|(_, rtx)| *rtx)
    };
    let encoding = |rid: Option<Label>, ssrc: Option<u32>| Encoding {
        rid,
        ssrc,
        rtx_ssrc: ssrc.and_then(rtx_of),
    };
    if rids.is_empty() {
        return vec![encoding(None, primaries.first().copied())];
    }
    let ssrcs = if primaries.len() == rids.len() { primaries } else { Vec::new() };
    let rid = |rid: &String| Label::new(rid.as_bytes());
    rids.iter()
        .enumerate()
        .map(|(index, name)| encoding(rid(name), ssrcs.get(index).copied()))
        .collect()
}

/// Does one wish on the answered state.
fn grant(state: &mut State, offer: &Description, wish: &Wish) -> Result<WishOutcome, WishError> {
    match wish {
        Wish::Publish { mid, send } => {
            let send = send.as_ref().map(|half| Outbound::idle(state, mid, half));
            let line = state.line_mut(mid).ok_or(WishError::NoSection)?;
            if !line.client.sends() {
                return Err(WishError::Direction);
            }
            line.closed = false;
            line.publishes = true;
            if line.client.receives() && line.outbound.is_none() {
                line.outbound = send;
            }
            let published = line.published().ok_or(WishError::Kind)?;
            Ok(WishOutcome::Published(published))
        }
        Wish::Close { mid } => {
            let offered = offer.section(mid).is_some();
            match state.line_mut(mid) {
                Some(line) => line.close(),
                None if offered => {}
                None => return Err(WishError::NoSection),
            }
            Ok(WishOutcome::Closed)
        }
        Wish::Receive { mid, media, ssrc, rtx_ssrc, msid } => {
            let mid = match mid {
                Some(mid) => mid.clone(),
                None => free_receiver(state, media.kind).ok_or(WishError::NoFreeSection)?,
            };
            let msid = state.unique_msid(&mid, msid);
            let line = state.line_mut(&mid).ok_or(WishError::NoSection)?;
            if line.kind.media() != Some(media.kind) {
                return Err(WishError::Kind);
            }
            if !line.client.receives() {
                return Err(WishError::Direction);
            }
            codecs::map(media, &line.payloads, rtx_ssrc.is_some())
                .ok_or(WishError::NoCommonCodec)?;
            line.closed = false;
            line.outbound = Some(Outbound {
                media: Some(media.clone()),
                ssrc: *ssrc,
                rtx_ssrc: *rtx_ssrc,
                msid,
            });
            line.receiving().map(WishOutcome::Receiving).ok_or(WishError::NoCommonCodec)
        }
    }
}

/// The first live section in which the client receives this kind and nothing is sent yet. Pure
/// receivers come first: a section the client publishes in is taken only when none is left.
fn free_receiver(state: &State, kind: common::media::MediaKind) -> Option<String> {
    let free = |line: &&Line| {
        !line.stopped
            && line.kind.media() == Some(kind)
            && line.client.receives()
            && line.outbound.is_none()
    };
    let pure = |line: &&Line| line.client == Direction::RecvOnly;
    let lines = || state.lines.iter().filter(free);
    let line = lines().find(pure).or_else(|| lines().next())?;
    Some(line.mid.clone())
}

/// The group of the answer: the offered one without what was rejected (RFC 9143 section 7.3.3).
fn settle_group(state: &mut State, offer: &Description) {
    let alive: Vec<String> =
        offer.bundle.iter().filter(|mid| state.line(mid).is_some()).cloned().collect();
    let first = state.lines.iter().find(|line| !line.stopped).map(|line| line.mid.clone());
    if let Some(tag) = alive.first().cloned().or(first) {
        state.tag = Some(tag);
    }
    state.bundle = alive;
}
