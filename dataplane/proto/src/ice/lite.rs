//! The paths of one peer: which remote addresses passed an authenticated check, which of them is
//! used, and how long consent lasts. RFC 8445 (lite), RFC 7675.
//!
//! Called by the engine's transport stage, only after MESSAGE-INTEGRITY verified. Must never learn
//! an address in another way, and never send: a lite implementation only answers.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use common::limits::{CONSENT_MAX, PATHS_PER_PEER_MAX};

/// One remote address that passed a check.
#[derive(Clone, Copy, Debug)]
struct Path {
    remote: SocketAddr,
    checked: Instant,
}

/// The paths of one peer.
#[derive(Clone, Debug)]
pub struct IceLite {
    paths: [Option<Path>; PATHS_PER_PEER_MAX],
    selected: Option<SocketAddr>,
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
    pub added: Option<SocketAddr>,
    /// The address that had to leave to make room.
    pub evicted: Option<SocketAddr>,
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
    pub fn on_check(&mut self, from: SocketAddr, nominate: bool, now: Instant) -> CheckOutcome {
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

    /// Takes a DTLS ClientHello from `from`: clients may start the handshake on a path that passed
    /// a check before they nominate it. Returns whether the path was selected by this.
    pub fn on_early_dtls(&mut self, from: SocketAddr) -> bool {
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
    pub fn selected(&self) -> Option<SocketAddr> {
        self.selected
    }

    /// Whether `address` passed a check.
    pub fn is_path(&self, address: SocketAddr) -> bool {
        self.paths().any(|path| path == address)
    }

    /// All addresses that passed a check.
    pub fn paths(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.paths.iter().flatten().map(|path| path.remote)
    }

    /// When consent for the selected path (without one, for any) ends unless a check comes: then
    /// [`IceLite::on_deadline`] and [`IceLite::expired`] want to be asked.
    pub fn consent_deadline(&self) -> Instant {
        self.selected_checked().unwrap_or(self.checked) + CONSENT_MAX
    }

    /// Whether no path had a check for 30 s (RFC 7675 section 5.1): the peer is gone.
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
    fn add(&mut self, path: Path) -> Option<SocketAddr> {
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
/// two senders (SECURITY.md test 5).
const SWITCHES_MAX: u32 = 10;
/// The time in which [`SWITCHES_MAX`] are allowed.
const SWITCH_WINDOW: Duration = Duration::from_secs(1);
/// With two places the selected path and one other always fit.
const _: () = assert!(PATHS_PER_PEER_MAX >= 2);
