//! The offer/answer state machine of one session.
//!
//! Owned by the session layer, which serialises calls. Pure: no IO, no clock, no randomness. A
//! call that fails changes nothing. We are ICE-lite (RFC 8445 section 2.5), and the DTLS server
//! unless the client wants to be it (RFC 8842); roles, payload types and extension ids stay for the
//! life of a transport.

use std::net::SocketAddr;

use common::command::{DtlsRole, PayloadMapping};
use common::media::ExtensionMap;

use super::codecs;
use super::description::{Description, IceCredentials, Section};
use super::lines::{Line, State};
use super::outcome::{PublishedSection, ReceivingSection, SectionView, SourceMedia, WishError};

/// Our side of a transport, as descriptions announce it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LocalTransport {
    /// ICE user name fragment.
    pub ufrag: String,
    /// ICE password.
    pub pwd: String,
    /// SHA-256 of our DTLS certificate.
    pub fingerprint: [u8; 32],
    /// Addresses of host candidates, most preferred first.
    pub candidates: Vec<SocketAddr>,
    /// Whether the same addresses accept TCP connections.
    pub tcp: bool,
}

/// The negotiation of one session.
#[derive(Clone, Debug)]
pub struct Negotiation {
    pub(super) transport: LocalTransport,
    /// `sess-id` of our origin line.
    pub(super) session_id: u64,
    /// `sess-version` of the next description (RFC 8829 section 5.2.1).
    pub(super) version: u64,
    /// Next number to try as a mid of ours; never goes back, so that a rolled-back one stays spent.
    pub(super) next_mid: u32,
    /// What both sides agreed on.
    pub(super) state: State,
    /// What our open offer proposes.
    pub(super) pending: Option<State>,
}

impl Negotiation {
    /// A session without any section. `session_version_seed` becomes the session id of our
    /// descriptions; a random number (RFC 8829 section 5.2.1).
    pub fn new(transport: LocalTransport, session_version_seed: u64) -> Self {
        Self {
            transport,
            session_id: session_version_seed >> 2,
            version: 1,
            next_mid: 0,
            state: State::new(),
            pending: None,
        }
    }

    /// Announces new credentials of the same transport from the next description on: an ICE
    /// restart.
    pub fn set_transport(&mut self, transport: LocalTransport) {
        self.transport = transport;
    }

    /// Announces another transport from the next description on; its DTLS roles are open again.
    pub fn move_transport(&mut self, transport: LocalTransport) {
        self.transport = transport;
        self.state.role = None;
    }

    /// Our DTLS role on the transport; the server's until an exchange says otherwise.
    pub fn dtls_role(&self) -> DtlsRole {
        self.state.role.unwrap_or_default()
    }

    /// Whether the client's ICE credentials differ from the last ones: it asks for an ICE restart
    /// (RFC 8839 section 4.4.1.1.1). False before the first exchange, and for a description that
    /// has no live section.
    pub fn remote_ice_changed(&self, description: &Description) -> bool {
        let ice = description.transport_section().and_then(|section| section.ice.as_ref());
        ice.is_some_and(|ice| self.restarts_ice(ice))
    }

    /// The same for the credentials alone, as a fragment brings them (RFC 9725 section 4.3.3).
    pub fn restarts_ice(&self, ice: &IceCredentials) -> bool {
        self.state.remote.as_ref().is_some_and(|remote| remote.ice != *ice)
    }

    /// Whether the section whose transport the group used is not the first of the group any more
    /// (stopped, or another stands before it): browsers then start a new ICE and DTLS transport
    /// for everything that lives, with the same credentials. False before the first exchange, and
    /// when no section lives.
    pub fn bundle_tag_moved(&self, offer: &Description) -> bool {
        let lives = |mid: &&String| {
            let usable = |s: &Section| s.kind.media().is_some() || s.sctp.is_some();
            offer.section(mid).is_some_and(|s| !s.stopped && usable(s))
        };
        match (&self.state.tag, offer.bundle.iter().find(lives)) {
            (Some(tag), Some(first)) => first != tag,
            _ => false,
        }
    }

    /// Whether every section was stopped, and with them the client's transport: an offer of ours
    /// then starts a new one, so that the caller sets another [`LocalTransport`] before it.
    pub fn transport_ended(&self) -> bool {
        self.state.tag.is_some() && self.state.lines.iter().all(|line| line.stopped)
    }

    /// Forgets our open offer and everything it allocated. No effect without one.
    pub fn roll_back(&mut self) {
        if let Some(pending) = self.pending.take() {
            self.state.ids.remember(&pending.ids);
        }
    }

    /// Whether an offer of ours waits for its answer.
    pub fn offer_outstanding(&self) -> bool {
        self.pending.is_some()
    }

    /// Header extension ids of the transport, both directions.
    pub fn extensions(&self) -> ExtensionMap {
        self.state.ids.map
    }

    /// Whether the client reports on the transport-wide numbers of what we send: it agreed to that
    /// in a section in which it receives.
    pub fn transport_feedback(&self) -> bool {
        self.state.lines.iter().any(Line::transport_feedback)
    }

    /// SHA-256 of the certificate the client announced last.
    pub fn remote_fingerprint(&self) -> Option<[u8; 32]> {
        self.state.remote.as_ref().map(|remote| remote.fingerprint)
    }

    /// The section with this mid; a stopped one as long as its place was not reused.
    pub fn section(&self, mid: &str) -> Option<SectionView> {
        self.sections().into_iter().find(|section| section.mid == mid)
    }

    /// All sections in order, stopped ones included.
    pub fn sections(&self) -> Vec<SectionView> {
        self.state.lines.iter().enumerate().map(|(index, line)| line.view(index)).collect()
    }

    /// Facts of what the client sends in a live section, whether it was named as a publication or
    /// not. None when it does not send there.
    pub fn published(&self, mid: &str) -> Option<PublishedSection> {
        self.state.line(mid)?.published()
    }

    /// Facts of the subscription in a section.
    pub fn receiving(&self, mid: &str) -> Option<ReceivingSection> {
        self.state.line(mid)?.receiving()
    }

    /// Mids of sections in which the offer sends and that are no publication yet, in offer order.
    pub fn unpublished(&self, offer: &Description) -> Vec<String> {
        let known = |mid: &str| self.state.line(mid).is_some_and(|line| line.publishes);
        offer.sending().map(|section| section.mid.clone()).filter(|mid| !known(mid)).collect()
    }

    /// Whether a pull onto this section needs no description: we send there, or may.
    pub fn may_send(&self, mid: &str) -> bool {
        self.state.line(mid).is_some_and(Line::sends)
    }

    /// Whether an offer of ours could put a publication into a section in which we do not send.
    ///
    /// Errors: [`WishError`], for the entry that names the section.
    pub fn check_reuse(&self, mid: &str, media: &SourceMedia) -> Result<(), WishError> {
        let line = self.state.line(mid).ok_or(WishError::NoSection)?;
        if line.kind.media() != Some(media.kind) {
            return Err(WishError::Kind);
        }
        codecs::map(media, &line.payloads, true).map(|_| ()).ok_or(WishError::NoCommonCodec)
    }

    /// Whether a section of the session, agreed or offered, sends under this SSRC.
    pub fn uses_ssrc(&self, ssrc: u32) -> bool {
        let uses = |line: &Line| {
            let outbound = line.outbound.as_ref();
            outbound.is_some_and(|out| out.ssrc == ssrc || out.rtx_ssrc == Some(ssrc))
        };
        let states = std::iter::once(&self.state).chain(&self.pending);
        states.flat_map(|state| &state.lines).any(uses)
    }

    /// Points a subscription at another publication without a description, or starts one in a
    /// section that has room for it.
    ///
    /// Errors: [`WishError::NoSection`] where we do not send in that section,
    /// [`WishError::Kind`] for media of the other kind, [`WishError::NoCommonCodec`].
    pub fn remap(
        &mut self,
        mid: &str,
        media: &SourceMedia,
    ) -> Result<Vec<PayloadMapping>, WishError> {
        let line = self.state.line(mid).ok_or(WishError::NoSection)?;
        let outbound = line.outbound.as_ref().filter(|_| !line.closed);
        let outbound = outbound.ok_or(WishError::NoSection)?;
        if line.kind.media() != Some(media.kind) {
            return Err(WishError::Kind);
        }
        let mapping = codecs::map(media, &line.payloads, outbound.rtx_ssrc.is_some())
            .ok_or(WishError::NoCommonCodec)?;
        for state in std::iter::once(&mut self.state).chain(self.pending.as_mut()) {
            if let Some(outbound) = state.line_mut(mid).and_then(|line| line.outbound.as_mut()) {
                outbound.media = Some(media.clone());
            }
        }
        Ok(mapping)
    }

    /// Sends the subscription in a section under other SSRCs from the next description on: a new
    /// transport has new streams. `rtx_ssrc` counts only where there is an RTX stream.
    pub fn renumber(&mut self, mid: &str, ssrc: u32, rtx_ssrc: u32) {
        if let Some(outbound) = self.state.line_mut(mid).and_then(|line| line.outbound.as_mut()) {
            outbound.ssrc = ssrc;
            outbound.rtx_ssrc = outbound.rtx_ssrc.map(|_| rtx_ssrc);
        }
    }

    /// Closes the sections of our making whose publication ended by itself (it fell silent), unless
    /// something is sent in them.
    pub fn close_ended(&mut self, lives: impl Fn(&str) -> bool) {
        let ended = |line: &&mut Line| {
            let sends = line.outbound.as_ref().is_some_and(|outbound| outbound.media.is_some());
            line.ours && line.publishes && !line.stopped && !sends && !lives(&line.mid)
        };
        self.state.lines.iter_mut().filter(ended).for_each(Line::close);
    }

    /// Ends what a section carries, without a description: later ones show it inactive until it is
    /// named again. False when no live section has that mid.
    pub fn close_mid(&mut self, mid: &str) -> bool {
        let mut found = false;
        for state in std::iter::once(&mut self.state).chain(self.pending.as_mut()) {
            if let Some(line) = state.line_mut(mid) {
                line.close();
                found = true;
            }
        }
        found
    }
}
