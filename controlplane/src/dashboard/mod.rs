//! The dashboard at `/dashboard`: what the cores count, which sessions there are, how their paths
//! are, and in words why a picture is bad.
//!
//! `respond.rs` has checked who asks. Reads what is known already; asks no core, changes nothing, and
//! holds no lock across sessions. The page polls every two seconds, as often as the cores report.

mod diagnosis;
mod shapes;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use common::counters::{Counters, Drop};
use common::media::MediaKind;

use self::diagnosis::{Finding, Look, Source, diagnose};
use self::shapes::{Core, Encoding, Overview, Page, Published, SampleLine, SessionLine, Watched};
use crate::api::Reply;
use crate::error::ApiError;
use crate::state::{Link, Node, Publication, Session, Subscription, TrackState};

/// Sessions of one overview: those that something is wrong with come first. Chosen: what a page can
/// show and a person can read.
const SESSIONS_SHOWN: usize = 200;
/// Names of tracks in a session's line.
const NAMES_SHOWN: usize = 4;

/// Answers a request of the page: for one session, or for everything.
///
/// # Errors
/// [`ApiError::SessionGone`].
pub(crate) async fn answer(node: &Node, session: Option<&str>) -> Result<Reply, ApiError> {
    let Some(id) = session else { return Ok(Reply::json(200, &overview(node))) };
    let found = node.all_sessions().into_iter().find(|session| session.id == id);
    let session = found.ok_or(ApiError::SessionGone)?;
    Ok(Reply::json(200, &page(node, &session).await))
}

fn overview(node: &Node) -> Overview {
    let depths = node.plane().lane_depths();
    let blocks = node.plane().counters();
    let cores = blocks.iter().enumerate().map(|(number, block)| {
        let waiting = |lane: &[usize]| lane.get(number).copied().unwrap_or(0);
        core(block, waiting(&depths.commands), waiting(&depths.frames))
    });
    let sessions = node.all_sessions();
    let total = sessions.len();
    let connected = sessions.iter().filter(|session| session.link() == Link::Connected).count();
    let mut lines: Vec<SessionLine> = sessions.iter().map(line).collect();
    lines.sort_by_key(|line| {
        let severity = line.finding.as_ref().map(|finding| finding.severity);
        std::cmp::Reverse((severity, line.received + line.sent))
    });
    lines.truncate(SESSIONS_SHOWN);
    Overview { cores: cores.collect(), total, connected, sessions: lines }
}

fn core(block: &Counters, commands_waiting: usize, frames_waiting: usize) -> Core {
    let dropped = Drop::ALL.map(|(reason, label)| (label, block.dropped(reason)));
    let drops: BTreeMap<_, _> = dropped.into_iter().filter(|(_, count)| *count > 0).collect();
    Core {
        datagrams_in: block.datagrams_in,
        datagrams_out: block.datagrams_out,
        bytes_in: block.bytes_in,
        bytes_out: block.bytes_out,
        resent: block.resent,
        nacked: block.nacked,
        peers: block.peers,
        tracks: block.tracks,
        subscriptions: block.subscriptions,
        commands_waiting,
        frames_waiting,
        drops,
    }
}

/// A session in one line. What it watches is left out: that belongs to its requests.
fn line(session: &Arc<Session>) -> SessionLine {
    let facts = session.facts();
    let newest = session.figures().newest();
    let look = Look {
        connected: facts.link == Link::Connected,
        path: newest.map(|sample| sample.path).unwrap_or_default(),
        sources: Vec::new(),
    };
    let live = || facts.publications.iter().filter(|publication| publication.is_live());
    let path = look.path;
    SessionLine {
        id: session.id.clone(),
        app: session.app_id.clone(),
        identifier: session.identifier.clone(),
        connected: look.connected,
        core: facts.core.map(|core| core.0),
        seconds: session.created.elapsed().as_secs(),
        tracks: live().count(),
        names: live().take(NAMES_SHOWN).map(|publication| publication.name.clone()).collect(),
        received: newest.map_or(0, |sample| sample.received),
        sent: newest.map_or(0, |sample| sample.sent),
        estimate: path.estimate,
        round_trip_ms: path.round_trip.map(|trip| trip.as_millis()),
        lost_down: path.lost_down,
        lost_up: path.lost_up,
        finding: diagnose(&look).into_iter().next(),
    }
}

/// A session's page.
async fn page(node: &Node, session: &Arc<Session>) -> Page {
    let subscriptions: Vec<(String, Subscription)> = {
        let work = session.work.lock().await;
        let active = work.subscriptions.iter().filter(|(_, found)| found.is_active());
        active.map(|(mid, found)| (mid.clone(), found.clone())).collect()
    };
    let publishers: BTreeMap<String, Arc<Session>> =
        node.all_sessions().into_iter().map(|session| (session.id.clone(), session)).collect();
    let sources = subscriptions.iter().map(|(_, subscription)| {
        let publication = &subscription.publication;
        let publisher = publishers.get(&publication.session_id);
        let newest = publisher.and_then(|publisher| publisher.figures().newest());
        Source {
            track: publication.name.clone(),
            sends: publication.state() == TrackState::Sending,
            lost: newest.map_or(0, |sample| sample.path.lost_up),
        }
    });
    let facts = session.facts();
    let figures = session.figures();
    let look = Look {
        connected: facts.link == Link::Connected,
        path: figures.newest().map(|sample| sample.path).unwrap_or_default(),
        sources: sources.collect(),
    };
    let now = Instant::now();
    let sample = |sample: &crate::state::Sample| SampleLine::new(sample, now);
    let samples = figures.samples().map(sample).collect();
    let watched = subscriptions.iter().map(|(mid, subscription)| {
        watched(mid, subscription, figures.shown(subscription.id), &look)
    });
    let watched = watched.collect();
    drop(figures);
    let live = facts.publications.iter().filter(|publication| publication.is_live());
    Page {
        line: line(session),
        findings: diagnose(&look),
        published: live.map(|publication| published(publication)).collect(),
        watched,
        samples,
    }
}

fn kind(publication: &Publication) -> &'static str {
    match publication.kind {
        MediaKind::Audio => "audio",
        MediaKind::Video => "video",
    }
}

/// The encodings of a publication with their rates; those without simulcast have an empty name.
fn encodings(publication: &Publication) -> Vec<Encoding> {
    let names = publication.rids();
    let names = if names.is_empty() { vec![String::new()] } else { names };
    let rates = publication.rates().into_iter();
    names.into_iter().zip(rates).map(|(rid, rate)| Encoding { rid, rate }).collect()
}

fn published(publication: &Publication) -> Published {
    Published {
        name: publication.name.clone(),
        kind: kind(publication),
        sends: publication.state() == TrackState::Sending,
        encodings: encodings(publication),
        level: publication.sound().map(|sound| -i16::from(sound.level)),
    }
}

fn watched(mid: &str, subscription: &Subscription, shown: Option<u8>, look: &Look) -> Watched {
    let publication = &subscription.publication;
    let encodings = encodings(publication);
    // Sound has one encoding, which is always shown.
    let shown = match publication.kind {
        MediaKind::Audio => Some(0),
        MediaKind::Video => shown.map(usize::from).filter(|_| !look.path.paused),
    };
    let encoding = shown.and_then(|shown| encodings.get(shown));
    Watched {
        mid: mid.to_owned(),
        session: publication.session_id.clone(),
        track: publication.name.clone(),
        kind: kind(publication),
        shown: encoding.map(|encoding| encoding.rid.clone()),
        rate: encoding.map_or(0, |encoding| encoding.rate),
        encodings,
    }
}
