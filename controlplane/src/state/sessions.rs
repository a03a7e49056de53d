//! One session: its transport's state, its publications, and the work of its requests.
//!
//! Two halves. *Facts* are short reads and writes under a plain lock: other sessions look up
//! publications in them, the event thread changes them. *Work* is what only this session's
//! requests touch, one at a time: negotiation and subscriptions.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use common::event::SrtpProfile;
use common::id::{CoreId, PeerId};
use tokio::sync::{Mutex as AsyncMutex, watch};

use super::channels::{Association, Channels};
use super::figures::Figures;
use super::tracks::{Publication, Subscription, TrackState};
use super::{OFFER_MAX, UNCONNECTED_MAX, lock};
use crate::auth::AppIndex;
use crate::error::ApiError;
use crate::sdp::Negotiation;
use crate::store::usage::Amount;

/// Contract 1.10: requests per second and session.
const REQUESTS_PER_SECOND: usize = 50;
/// Ended entries a session keeps to list them as inactive; the oldest give way. Chosen: as many as
/// sections one description may have.
pub(super) const ENDED_ENTRIES_MAX: usize = 256;

/// SSRCs a session remembers beyond those in use. Chosen: two for every section a description may
/// have, twice over.
const SSRCS_REMEMBERED: usize = 1_024;

/// A session of one app.
#[derive(Debug)]
pub struct Session {
    /// The app it belongs to.
    pub app: AppIndex,
    /// That app's id.
    pub app_id: String,
    /// What the app calls whoever uses it; may be empty.
    pub identifier: String,
    /// Its id.
    pub id: String,
    /// When it was made.
    pub created: Instant,
    /// tracks/new requests in the order of arrival: they may wait for other sessions.
    pub turn: AsyncMutex<()>,
    /// What requests change, one at a time; never held while waiting for the network.
    pub work: AsyncMutex<Work>,
    facts: Mutex<Facts>,
    channels: Mutex<Channels>,
    requests: Mutex<VecDeque<Instant>>,
    used: Mutex<Amount>,
    figures: Mutex<Figures>,
    changes: watch::Sender<()>,
}

/// Whose a session is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Owner {
    /// The app.
    pub app: AppIndex,
    /// Its id.
    pub app_id: String,
    /// What the app calls whoever uses the session; may be empty.
    pub identifier: String,
}

/// State of a session's transport.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Link {
    /// No connectivity yet.
    Unconnected,
    /// ICE and DTLS are up.
    Connected,
    /// The session ended.
    Gone,
}

/// What others see of a session.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Transport.
    pub link: Link,
    /// The transport's peer, once there was an SDP exchange.
    pub peer: Option<PeerId>,
    /// Its home core, once a check arrived.
    pub core: Option<CoreId>,
    /// SRTP profile in use.
    pub profile: Option<SrtpProfile>,
    /// When an unconnected session expires.
    pub deadline: Instant,
    /// Whether every section was stopped: the client may close its transport and come back with
    /// another one.
    pub idle: bool,
    /// Publications in the order of their making, ended ones among them.
    pub publications: Vec<Arc<Publication>>,
}

/// What a session had when it ended.
pub(super) struct Ended {
    /// Its transport.
    pub(super) peer: Option<PeerId>,
    /// Its publications, ended ones among them.
    pub(super) publications: Vec<Arc<Publication>>,
    /// Those of them that sent until now.
    pub(super) stopped: Vec<Arc<Publication>>,
}

/// What a pull finds under a track name.
#[derive(Clone, Debug)]
pub enum LookUp {
    /// Packets arrive.
    Sending(Arc<Publication>),
    /// Known; its publisher is connected but sent nothing.
    Silent,
    /// Unknown, or its publisher is not connected: that may still change.
    NotYet,
    /// The session ended.
    Gone,
}

/// What a session's requests work on.
#[derive(Debug, Default)]
pub struct Work {
    /// Offer/answer state; None before the first SDP.
    pub negotiation: Option<Negotiation>,
    /// How often ICE restarted on the present peer.
    pub restarts: u8,
    /// Whether an SDP exchange was completed.
    pub exchanged: bool,
    /// When our open offer was made.
    pub offered: Option<Instant>,
    /// Subscriptions by mid.
    pub subscriptions: BTreeMap<String, Subscription>,
    /// Names of the tracks our open offer invites, by mid.
    pub invited: BTreeMap<String, String>,
    /// The newest SSRCs of this session, ended ones among them.
    ssrcs: VecDeque<u32>,
}

impl Session {
    /// A session without transport.
    pub(crate) fn new(owner: Owner, id: String, now: Instant) -> Self {
        let Owner { app, app_id, identifier } = owner;
        Self {
            app,
            app_id,
            identifier,
            id,
            created: now,
            turn: AsyncMutex::default(),
            work: AsyncMutex::default(),
            facts: Mutex::new(Facts {
                link: Link::Unconnected,
                peer: None,
                core: None,
                profile: None,
                deadline: now + UNCONNECTED_MAX,
                idle: false,
                publications: Vec::new(),
            }),
            channels: Mutex::default(),
            requests: Mutex::default(),
            used: Mutex::default(),
            figures: Mutex::default(),
            changes: watch::Sender::new(()),
        }
    }

    /// Counts what was used of the server on its behalf.
    pub fn count(&self, amount: Amount) {
        lock(&self.used).add(amount);
    }

    /// What was used since it was made.
    pub fn used(&self) -> Amount {
        *lock(&self.used)
    }

    /// How its transport did lately, for the dashboard.
    pub fn figures(&self) -> MutexGuard<'_, Figures> {
        lock(&self.figures)
    }

    /// Its published tracks that packets arrived of.
    pub fn tracks_sending(&self) -> usize {
        let facts = lock(&self.facts);
        facts.publications.iter().filter(|p| p.state() == TrackState::Sending).count()
    }

    /// A copy of the facts.
    pub fn facts(&self) -> Facts {
        lock(&self.facts).clone()
    }

    /// Its data channels; never held across an await, nor while the facts are.
    pub fn channels(&self) -> MutexGuard<'_, Channels> {
        lock(&self.channels)
    }

    /// The transport's state.
    pub fn link(&self) -> Link {
        lock(&self.facts).link
    }

    /// The transport's peer.
    pub fn peer(&self) -> Option<PeerId> {
        lock(&self.facts).peer
    }

    /// Wakes when link or publications change; what is read after subscribing is never missed.
    pub fn watch(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// Wakes everybody who watches.
    pub(super) fn changed(&self) {
        self.changes.send_modify(|()| ());
    }

    /// Counts a request.
    ///
    /// # Errors
    /// [`ApiError::RateLimited`] when the last second already had as many as are allowed.
    pub fn admit(&self, now: Instant) -> Result<(), ApiError> {
        let mut requests = lock(&self.requests);
        let second = Duration::from_secs(1);
        while requests.front().is_some_and(|at| now.saturating_duration_since(*at) >= second) {
            requests.pop_front();
        }
        if requests.len() >= REQUESTS_PER_SECOND {
            return Err(ApiError::RateLimited);
        }
        requests.push_back(now);
        Ok(())
    }

    /// Fails when the session ended.
    ///
    /// # Errors
    /// [`ApiError::SessionGone`].
    pub fn check(&self) -> Result<(), ApiError> {
        if self.link() == Link::Gone { Err(ApiError::SessionGone) } else { Ok(()) }
    }

    /// Waits until the transport is connected.
    ///
    /// # Errors
    /// [`ApiError::NotReady`] at the deadline, [`ApiError::SessionGone`] when the session ends.
    pub async fn connected(&self, deadline: Instant) -> Result<(), ApiError> {
        self.settled(deadline, || match self.link() {
            Link::Connected => Ok(()),
            Link::Gone => Err(ApiError::SessionGone),
            Link::Unconnected => Err(ApiError::NotReady),
        })
        .await
    }

    /// Waits until data channels can be made: the transport is connected and has an application
    /// section. The association may still be coming up.
    ///
    /// # Errors
    /// [`ApiError::NotReady`] or [`ApiError::NoChannels`] at the deadline,
    /// [`ApiError::ChannelsFailed`], [`ApiError::SessionGone`] when the session ends.
    pub async fn channels_ready(&self, deadline: Instant) -> Result<(), ApiError> {
        self.settled(deadline, || {
            let association = self.channels().association;
            match (self.link(), association) {
                (Link::Gone, _) => Err(ApiError::SessionGone),
                (_, Association::Failed) => Err(ApiError::ChannelsFailed),
                (_, Association::None) => Err(ApiError::NoChannels),
                (Link::Unconnected, _) => Err(ApiError::NotReady),
                (Link::Connected, Association::Connecting | Association::Up) => Ok(()),
            }
        })
        .await
    }

    /// Waits while `look` fails with what another change or the deadline may still mend.
    async fn settled(
        &self,
        deadline: Instant,
        look: impl Fn() -> Result<(), ApiError>,
    ) -> Result<(), ApiError> {
        let mut changes = self.watch();
        loop {
            let found = look();
            if !matches!(found, Err(ApiError::NotReady | ApiError::NoChannels)) {
                return found;
            }
            let change = tokio::time::timeout_at(deadline.into(), changes.changed());
            if change.await.is_err() {
                return found;
            }
        }
    }

    /// What a pull finds under a name.
    pub fn look_up(&self, name: &str) -> LookUp {
        let facts = lock(&self.facts);
        if facts.link == Link::Gone {
            return LookUp::Gone;
        }
        let found = facts.publications.iter().rfind(|p| p.name == name && p.is_live());
        match found {
            Some(publication) if publication.state() == TrackState::Sending => {
                LookUp::Sending(publication.clone())
            }
            Some(_) if facts.link == Link::Connected => LookUp::Silent,
            _ => LookUp::NotYet,
        }
    }

    /// The live publication of a name, sending or not.
    pub fn publication(&self, name: &str) -> Option<Arc<Publication>> {
        self.live().find(|publication| publication.name == name)
    }

    /// The live publication of a mid.
    pub fn publication_at(&self, mid: &str) -> Option<Arc<Publication>> {
        self.live().find(|publication| publication.mid == mid)
    }

    fn live(&self) -> impl Iterator<Item = Arc<Publication>> {
        self.facts().publications.into_iter().filter(|publication| publication.is_live())
    }

    /// Lists a publication, once; an ended one of the same mid or name is not listed any more. False
    /// when the session ended.
    pub(super) fn publish(&self, publication: Arc<Publication>) -> bool {
        let mut facts = lock(&self.facts);
        if facts.link == Link::Gone {
            return false;
        }
        let same = |p: &Publication| p.mid == publication.mid || p.name == publication.name;
        facts.publications.retain(|p| !Arc::ptr_eq(p, &publication) && (p.is_live() || !same(p)));
        let ended = facts.publications.iter().filter(|p| !p.is_live()).count();
        if ended >= ENDED_ENTRIES_MAX
            && let Some(oldest) = facts.publications.iter().position(|p| !p.is_live())
        {
            facts.publications.remove(oldest);
        }
        facts.publications.push(publication);
        drop(facts);
        self.changed();
        true
    }

    /// Takes a peer as transport and returns the one it replaces; an error when the session ended.
    pub(super) fn attach(&self, peer: PeerId, now: Instant) -> Result<Option<PeerId>, ()> {
        let mut facts = lock(&self.facts);
        if facts.link == Link::Gone {
            return Err(());
        }
        facts.link = Link::Unconnected;
        facts.core = None;
        facts.profile = None;
        facts.deadline = now + UNCONNECTED_MAX;
        let old = facts.peer.replace(peer);
        drop(facts);
        self.channels().move_transport();
        Ok(old)
    }

    /// An SDP exchange happened, which left the session idle or not: an unconnected session lives
    /// another while.
    pub fn exchanged(&self, idle: bool, now: Instant) {
        let mut facts = lock(&self.facts);
        facts.deadline = now + UNCONNECTED_MAX;
        facts.idle = idle;
    }

    /// The transport closed. True when the session outlives that for a while, because nothing went
    /// over it any more.
    pub(super) fn detach(&self, peer: PeerId, now: Instant) -> bool {
        let mut facts = lock(&self.facts);
        if !facts.idle || facts.peer != Some(peer) {
            return false;
        }
        facts.peer = None;
        facts.link = Link::Unconnected;
        facts.core = None;
        facts.profile = None;
        facts.deadline = now + UNCONNECTED_MAX;
        drop(facts);
        self.changed();
        true
    }

    /// A core claimed the transport.
    pub(super) fn claimed(&self, peer: PeerId, core: CoreId) {
        let mut facts = lock(&self.facts);
        if facts.peer == Some(peer) {
            facts.core = Some(core);
        }
    }

    /// The transport is up. False when it is another one's peer, or the session ended.
    pub(super) fn connect(&self, peer: PeerId, profile: SrtpProfile) -> bool {
        let mut facts = lock(&self.facts);
        let connected = facts.peer == Some(peer) && facts.link == Link::Unconnected;
        if connected {
            facts.link = Link::Connected;
            facts.profile = Some(profile);
        }
        drop(facts);
        self.changed();
        connected
    }

    /// Whether it had no connectivity for too long.
    pub(super) fn expired(&self, now: Instant) -> bool {
        let facts = lock(&self.facts);
        facts.link == Link::Unconnected && now >= facts.deadline
    }

    /// Ends it. None when it had ended before.
    pub(super) fn end(&self) -> Option<Ended> {
        let mut facts = lock(&self.facts);
        if facts.link == Link::Gone {
            return None;
        }
        facts.link = Link::Gone;
        let (peer, publications) = (facts.peer.take(), std::mem::take(&mut facts.publications));
        drop(facts);
        let stopped = publications.iter().filter(|publication| publication.end()).cloned();
        let stopped = stopped.collect();
        self.channels().end_session();
        self.changed();
        Some(Ended { peer, publications, stopped })
    }
}

impl Work {
    /// Rolls an offer of ours back that waited too long. Returns the subscriptions that end with it.
    pub fn lapse(&mut self, now: Instant) -> Vec<Subscription> {
        if self.offered.is_some_and(|at| now.saturating_duration_since(at) >= OFFER_MAX) {
            return self.roll_back();
        }
        Vec::new()
    }

    /// Rolls our open offer back. Returns the subscriptions that end with it.
    pub fn roll_back(&mut self) -> Vec<Subscription> {
        self.offered = None;
        self.invited.clear();
        if let Some(negotiation) = &mut self.negotiation {
            negotiation.roll_back();
        }
        let pending = |s: &Subscription| s.receiving.is_none() && !s.closed;
        let dropped = self.subscriptions.values().filter(|s| pending(s)).cloned().collect();
        self.subscriptions.retain(|_, subscription| !pending(subscription));
        dropped
    }

    /// Fails while our offer is open.
    ///
    /// # Errors
    /// [`ApiError::SdpOrder`].
    pub fn check_no_offer(&self) -> Result<(), ApiError> {
        if self.negotiation.as_ref().is_some_and(Negotiation::offer_outstanding) {
            let text = "an offer of this session waits for its answer (PUT renegotiate)";
            return Err(ApiError::SdpOrder(text.to_owned()));
        }
        Ok(())
    }

    /// Whether a transport must stand before something is added: not for the first exchange, nor
    /// for the one that brings another transport after every section was stopped.
    pub fn needs_transport(&self) -> bool {
        let ended = self.negotiation.as_ref().is_some_and(Negotiation::transport_ended);
        self.exchanged && !ended
    }

    /// Takes an SSRC for a stream of ours. False when the session uses it or did so lately: a
    /// receiver may know it still.
    pub fn take_ssrc(&mut self, ssrc: u32) -> bool {
        let negotiation = self.negotiation.as_ref();
        let used = negotiation.is_some_and(|negotiation| negotiation.uses_ssrc(ssrc));
        // RFC 3550 allows 0, but some receivers take it for none.
        if ssrc == 0 || used || self.ssrcs.contains(&ssrc) {
            return false;
        }
        if self.ssrcs.len() >= SSRCS_REMEMBERED {
            self.ssrcs.pop_front();
        }
        self.ssrcs.push_back(ssrc);
        true
    }

    /// Adds a subscription; closed ones beyond the bound give way.
    pub fn subscribe(&mut self, mid: String, subscription: Subscription) {
        let closed = self.subscriptions.iter().filter(|(_, s)| s.closed);
        if closed.clone().count() >= ENDED_ENTRIES_MAX
            && let Some(oldest) = closed.map(|(mid, _)| mid.clone()).next()
        {
            self.subscriptions.remove(&oldest);
        }
        self.subscriptions.insert(mid, subscription);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(now: Instant) -> Session {
        let owner = Owner { app: AppIndex(0), app_id: "app".into(), identifier: String::new() };
        Session::new(owner, "a".into(), now)
    }

    #[test]
    fn fifty_requests_fit_into_any_second() {
        let start = Instant::now();
        let session = session(start);
        for n in 0..50 {
            assert_eq!(session.admit(start + Duration::from_millis(n)), Ok(()));
        }
        let at = |ms| start + Duration::from_millis(ms);
        assert_eq!(session.admit(at(999)), Err(ApiError::RateLimited));
        assert_eq!(session.admit(at(1_000)), Ok(()));
        assert_eq!(session.admit(at(1_000)), Err(ApiError::RateLimited));
        assert_eq!(session.admit(at(1_001)), Ok(()));
    }

    #[test]
    fn an_unconnected_session_expires_and_an_exchange_prolongs_it() {
        let start = Instant::now();
        let session = session(start);
        assert!(!session.expired(start + Duration::from_secs(29)));
        session.exchanged(false, start + Duration::from_secs(29));
        assert!(!session.expired(start + Duration::from_secs(31)));
        assert!(session.expired(start + Duration::from_secs(59)));
    }

    #[test]
    fn only_an_idle_session_outlives_its_transport() {
        let (start, peer) = (Instant::now(), PeerId::new(1, 0));
        let session = session(start);
        assert_eq!(session.attach(peer, start), Ok(None));
        session.connect(peer, SrtpProfile::AeadAes128Gcm);
        session.exchanged(false, start);
        assert!(!session.detach(peer, start));
        session.exchanged(true, start);
        assert!(!session.detach(PeerId::new(2, 0), start), "not its transport");
        let later = start + Duration::from_secs(100);
        assert!(session.detach(peer, later));
        assert_eq!((session.peer(), session.link()), (None, Link::Unconnected));
        assert!(!session.expired(later + Duration::from_secs(29)));
        assert!(session.expired(later + Duration::from_secs(30)));
    }
}
