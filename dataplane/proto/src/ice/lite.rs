//! The paths of one peer: which remote addresses passed an authenticated check, which of them is
//! used, and how long consent lasts. RFC 8445 (lite), RFC 7675.
//!
//! Called by the engine's transport stage, only after MESSAGE-INTEGRITY (or a report's tag) verified. Must never learn
//! an address in another way, and never send: a lite implementation only answers.

use std::time::{Duration, Instant};

use common::address::TransportAddress;
use common::limits::{CONSENT_MAX, PATHS_PER_PEER_MAX};

/// One remote address that passed a check.
#[derive(Clone, Copy, Debug)]
struct Path {
    remote: TransportAddress,
    checked: Instant,
}

/// The paths of one peer.
#[derive(Clone, Debug)]
pub struct IceLite {
    paths: [Option<Path>; PATHS_PER_PEER_MAX],
    selected: Option<TransportAddress>,
    /// Last check on any path.
    checked: Instant,
    /// Start of the current second of the switch budget, and what was spent of it.
    switches_since: Instant,
    switches: u32,
}

/// What an authenticated check did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CheckOutcome {
    /// Whether to answer. False: the check asked for a change of path beyond the allowed rate and
    /// left everything as it was.
    pub accepted: bool,
    /// The address that is a path since this check.
    pub added: Option<TransportAddress>,
    /// The address that had to leave to make room.
    pub evicted: Option<TransportAddress>,
    /// Whether [`IceLite::selected`] changed.
    pub selected_changed: bool,
}

impl IceLite {
    /// Starts without a path; consent runs from `now`.
    pub fn new(now: Instant) -> Self {
        Self {
            paths: [None; PATHS_PER_PEER_MAX],
            selected: None,
            checked: now,
            switches_since: now,
            switches: 0,
        }
    }

    /// Takes an authenticated check from `from` that nominates its path or not.
    ///
    /// A nominated check selects its path (RFC 8445 section 7.3.1.5), also when another one was
    /// selected before: a client whose NAT gave it a new address does just that. When all places
    /// are taken the path whose last check is oldest leaves, never the selected one.
    pub fn on_check(
        &mut self,
        from: TransportAddress,
        nominate: bool,
        now: Instant,
    ) -> CheckOutcome {
        let switches = nominate && self.selected != Some(from);
        if switches && !self.may_switch(now) {
            return CheckOutcome::default();
        }
        let mut outcome = CheckOutcome { accepted: true, ..CheckOutcome::default() };
        self.checked = self.checked.max(now);
        match self.paths.iter_mut().flatten().find(|path| path.remote == from) {
            Some(path) => path.checked = path.checked.max(now),
            None => {
                outcome.added = Some(from);
                outcome.evicted = self.add(Path { remote: from, checked: now });
            }
        }
        if switches {
            self.selected = Some(from);
            outcome.selected_changed = true;
        } else {
            outcome.selected_changed = self.leave_silent_path(now);
        }
        outcome
    }

    /// Takes an authenticated SRTCP packet from `from`. It renews consent like a check: a client whose
    /// ICE is older than RFC 7675 (libnice, so GStreamer) keeps its path open by indications, which
    /// nobody signs, and says only with its reports that it still wants what it gets.
    pub fn on_report(&mut self, from: TransportAddress, now: Instant) {
        if let Some(path) = self.paths.iter_mut().flatten().find(|path| path.remote == from) {
            path.checked = path.checked.max(now);
            self.checked = self.checked.max(now);
        }
    }

    /// Takes a DTLS ClientHello from `from`: clients may start the handshake on a path that passed
    /// a check before they nominate it. Returns whether the path was selected by this.
    pub fn on_early_dtls(&mut self, from: TransportAddress) -> bool {
        let selects = self.selected.is_none() && self.is_path(from);
        if selects {
            self.selected = Some(from);
        }
        selects
    }

    /// Moves off a selected path without consent when another path has it. To be called when
    /// [`IceLite::consent_deadline`] has come; returns whether [`IceLite::selected`] changed.
    pub fn on_deadline(&mut self, now: Instant) -> bool {
        self.leave_silent_path(now)
    }

    /// The address to send to.
    pub fn selected(&self) -> Option<TransportAddress> {
        self.selected
    }

    /// The same by reference, for who looks per packet.
    pub fn selected_path(&self) -> Option<&TransportAddress> {
        self.selected.as_ref()
    }

    /// Whether `address` passed a check.
    pub fn is_path(&self, address: TransportAddress) -> bool {
        self.paths().any(|path| path == address)
    }

    /// All addresses that passed a check.
    pub fn paths(&self) -> impl Iterator<Item = TransportAddress> + '_ {
        self.paths.iter().flatten().map(|path| path.remote)
    }

    /// When consent for the selected path (without one, for any) ends unless a check comes: then
    /// [`IceLite::on_deadline`] and [`IceLite::expired`] want to be asked.
    pub fn consent_deadline(&self) -> Instant {
        self.selected_checked().unwrap_or(self.checked) + CONSENT_MAX
    }

    /// Whether no path had a check or report for 30 s (RFC 7675 section 5.1): the peer is gone.
    pub fn expired(&self, now: Instant) -> bool {
        now >= self.checked + CONSENT_MAX
    }

    /// Last check on the selected path.
    fn selected_checked(&self) -> Option<Instant> {
        let selected = self.selected?;
        self.paths.iter().flatten().find(|path| path.remote == selected).map(|path| path.checked)
    }

    /// Selects the path with the latest check when the selected one has lost consent and that one
    /// has not.
    fn leave_silent_path(&mut self, now: Instant) -> bool {
        let Some(checked) = self.selected_checked() else { return false };
        if now < checked + CONSENT_MAX {
            return false;
        }
        let Some(freshest) = self.paths.iter().flatten().max_by_key(|path| path.checked) else {
            return false;
        };
        if now >= freshest.checked + CONSENT_MAX || self.selected == Some(freshest.remote) {
            return false;
        }
        self.selected = Some(freshest.remote);
        true
    }

    /// Stores a new path; returns the one that had to leave.
    fn add(&mut self, path: Path) -> Option<TransportAddress> {
        if let Some(place) = self.paths.iter_mut().find(|place| place.is_none()) {
            *place = Some(path);
            return None;
        }
        let selected = self.selected;
        let oldest = self
            .paths
            .iter_mut()
            .flatten()
            .filter(|old| Some(old.remote) != selected)
            .min_by_key(|old| old.checked)?;
        Some(std::mem::replace(oldest, path).remote)
    }

    /// Takes one switch out of this second's budget.
    fn may_switch(&mut self, now: Instant) -> bool {
        if now.saturating_duration_since(self.switches_since) >= SWITCH_WINDOW {
            self.switches_since = now;
            self.switches = 0;
        }
        let allowed = self.switches < SWITCHES_MAX;
        self.switches += u32::from(allowed);
        allowed
    }
}

/// Chosen: a client moves at most a few times when its network changes; more is a fight between
/// two senders.
const SWITCHES_MAX: u32 = 10;
/// The time in which [`SWITCHES_MAX`] are allowed.
const SWITCH_WINDOW: Duration = Duration::from_secs(1);
/// With two places the selected path and one other always fit.
const _: () = assert!(PATHS_PER_PEER_MAX >= 2);

#[cfg(test)]
mod tests {
    use super::*;

    fn address(port: u16) -> TransportAddress {
        TransportAddress::Udp(([192, 0, 2, 1], port).into())
    }

    /// A clock to add to; its zero has no meaning.
    struct Clock(Instant);

    impl Clock {
        #[allow(clippy::disallowed_methods)]
        fn new() -> Self {
            Self(Instant::now())
        }

        fn at(&self, ms: u64) -> Instant {
            self.0 + Duration::from_millis(ms)
        }
    }

    #[test]
    fn a_check_makes_a_path_and_a_nominated_one_selects_it() {
        let clock = Clock::new();
        let mut ice = IceLite::new(clock.at(0));
        let outcome = ice.on_check(address(1), false, clock.at(0));
        assert!(outcome.accepted && !outcome.selected_changed);
        assert_eq!(outcome.added, Some(address(1)));
        assert!(ice.is_path(address(1)) && !ice.is_path(address(2)));
        assert_eq!(ice.selected(), None);
        let outcome = ice.on_check(address(1), true, clock.at(10));
        assert!(outcome.accepted && outcome.selected_changed);
        assert_eq!((outcome.added, outcome.evicted), (None, None));
        assert_eq!(ice.selected(), Some(address(1)));
        let outcome = ice.on_check(address(1), true, clock.at(20));
        assert!(outcome.accepted && !outcome.selected_changed);
    }

    #[test]
    fn only_nomination_moves_a_live_selection() {
        // A rebound NAT shows up as a nominated check from a new address.
        let clock = Clock::new();
        let mut ice = IceLite::new(clock.at(0));
        ice.on_check(address(1), true, clock.at(0));
        assert!(!ice.on_check(address(2), false, clock.at(10)).selected_changed);
        assert_eq!(ice.selected(), Some(address(1)));
        assert!(ice.on_check(address(2), true, clock.at(20)).selected_changed);
        assert_eq!(ice.selected(), Some(address(2)));
        assert!(ice.is_path(address(1)));
    }

    #[test]
    fn switches_are_rationed_and_a_refused_one_changes_nothing() {
        let clock = Clock::new();
        let mut ice = IceLite::new(clock.at(0));
        for switch in 0..10 {
            assert!(ice.on_check(address(switch % 2), true, clock.at(1)).accepted);
        }
        let deadline = ice.consent_deadline();
        let refused = ice.on_check(address(7), true, clock.at(900));
        assert_eq!(refused, CheckOutcome::default());
        assert!(!ice.is_path(address(7)));
        assert_eq!(ice.selected(), Some(address(1)));
        assert_eq!(ice.consent_deadline(), deadline);
        // Checks that ask for no switch go on, and the next second has a budget of its own.
        assert!(ice.on_check(address(1), true, clock.at(950)).accepted);
        assert!(ice.on_check(address(7), true, clock.at(1_000)).accepted);
    }

    #[test]
    fn the_oldest_other_path_makes_room() {
        let clock = Clock::new();
        let mut ice = IceLite::new(clock.at(0));
        ice.on_check(address(0), true, clock.at(0));
        for port in 1..PATHS_PER_PEER_MAX as u16 {
            assert_eq!(ice.on_check(address(port), false, clock.at(port.into())).evicted, None);
        }
        ice.on_check(address(1), false, clock.at(100));
        let outcome = ice.on_check(address(99), false, clock.at(101));
        assert_eq!((outcome.added, outcome.evicted), (Some(address(99)), Some(address(2))));
        assert_eq!(ice.paths().count(), PATHS_PER_PEER_MAX);
        assert!(ice.is_path(address(0)) && ice.is_path(address(1)) && !ice.is_path(address(2)));
        assert_eq!(ice.selected(), Some(address(0)));
    }

    #[test]
    fn a_client_hello_selects_only_a_checked_path_and_only_when_none_is() {
        let clock = Clock::new();
        let mut ice = IceLite::new(clock.at(0));
        ice.on_check(address(1), false, clock.at(0));
        ice.on_check(address(2), false, clock.at(0));
        assert!(!ice.on_early_dtls(address(3)));
        assert_eq!(ice.selected(), None);
        assert!(ice.on_early_dtls(address(2)));
        assert_eq!(ice.selected(), Some(address(2)));
        assert!(!ice.on_early_dtls(address(1)));
        assert_eq!(ice.selected(), Some(address(2)));
    }

    #[test]
    fn consent_ends_thirty_seconds_after_the_last_check() {
        let clock = Clock::new();
        let mut ice = IceLite::new(clock.at(0));
        ice.on_check(address(1), true, clock.at(5_000));
        assert_eq!(ice.consent_deadline(), clock.at(35_000));
        assert!(!ice.expired(clock.at(34_999)));
        assert!(ice.expired(clock.at(35_000)));
        assert!(!ice.on_deadline(clock.at(35_000)));
        let unchecked = IceLite::new(clock.at(0));
        assert_eq!(unchecked.consent_deadline(), clock.at(30_000));
        assert!(unchecked.expired(clock.at(30_000)));
    }

    #[test]
    fn reports_on_a_path_renew_its_consent_and_no_other() {
        let clock = Clock::new();
        let mut ice = IceLite::new(clock.at(0));
        ice.on_check(address(1), true, clock.at(0));
        ice.on_report(address(2), clock.at(10_000));
        assert_eq!(ice.consent_deadline(), clock.at(30_000), "no path");
        ice.on_report(address(1), clock.at(20_000));
        assert_eq!(ice.consent_deadline(), clock.at(50_000));
        assert!(!ice.expired(clock.at(49_999)) && ice.expired(clock.at(50_000)));
        ice.on_check(address(2), false, clock.at(21_000));
        ice.on_report(address(2), clock.at(49_000));
        assert!(
            ice.on_deadline(clock.at(50_000)),
            "reports elsewhere keep no silent path selected"
        );
        assert_eq!(ice.selected(), Some(address(2)));
    }

    #[test]
    fn a_silent_selection_moves_to_the_freshest_live_path() {
        let clock = Clock::new();
        let mut ice = IceLite::new(clock.at(0));
        ice.on_check(address(1), true, clock.at(0));
        ice.on_check(address(2), false, clock.at(20_000));
        ice.on_check(address(3), false, clock.at(21_000));
        assert_eq!(ice.consent_deadline(), clock.at(30_000));
        assert!(!ice.on_deadline(clock.at(29_999)));
        assert!(ice.on_deadline(clock.at(30_000)));
        assert_eq!(ice.selected(), Some(address(3)));
        assert_eq!(ice.consent_deadline(), clock.at(51_000));
        assert!(!ice.expired(clock.at(50_999)) && ice.expired(clock.at(51_000)));
        // A check does the same when nobody watched the deadline.
        ice.on_check(address(2), false, clock.at(50_000));
        assert!(ice.on_check(address(2), false, clock.at(51_000)).selected_changed);
        assert_eq!(ice.selected(), Some(address(2)));
    }
}
