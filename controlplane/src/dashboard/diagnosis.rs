//! Why a viewer's picture is bad, in words: rules over the figures of its path and of what it
//! watches. Pure; called by `mod.rs` for each session that is shown.

use std::time::Duration;

use common::event::PathFigures;
use serde::Serialize;

/// Loss that a viewer sees in spite of repair, in 1/1000. Chosen: a tenth is what the engine takes
/// for a path under strain.
const LOSS_BAD: u16 = 100;
/// Loss that is worth a word.
const LOSS_NOTED: u16 = 20;
/// Queueing on the path beyond which repairs and sound come late; the engine's sign of strain.
const QUEUE_BAD: Duration = Duration::from_millis(100);
/// Round trip beyond which talking is hard. ITU-T G.114: 150 ms each way.
const TRIP_NOTED: Duration = Duration::from_millis(300);
/// Key frames of one report, of all videos: more say that a decoder does not come to rest.
const KEY_FRAMES_NOTED: u32 = 6;

/// How much a finding matters; the gravest is the greatest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Severity {
    /// Good to know.
    Note,
    /// People may see or hear it.
    Warning,
    /// They do.
    Bad,
}

/// One sentence.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(super) struct Finding {
    pub(super) severity: Severity,
    pub(super) text: String,
}

/// What is looked at.
#[derive(Debug, Default)]
pub(super) struct Look {
    /// Whether the transport is up.
    pub(super) connected: bool,
    /// The newest report of the path.
    pub(super) path: PathFigures,
    /// What is watched.
    pub(super) sources: Vec<Source>,
}

/// A track that is watched.
#[derive(Debug)]
pub(super) struct Source {
    /// Its name.
    pub(super) track: String,
    /// Whether its packets arrive.
    pub(super) sends: bool,
    /// Loss on the way from its publisher, in 1/1000.
    pub(super) lost: u16,
}

/// Everything that stands out, the gravest first.
pub(super) fn diagnose(look: &Look) -> Vec<Finding> {
    if !look.connected {
        let text = "The transport is not connected: no handshake has come through. Is the media \
                    port open between the client and an announced address?";
        return vec![Finding { severity: Severity::Bad, text: text.to_owned() }];
    }
    let mut findings: Vec<Finding> =
        [bandwidth(&look.path), losses(&look.path), delays(&look.path)].concat();
    findings.extend(look.sources.iter().filter_map(source));
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    findings
}

fn finding(severity: Severity, text: String) -> Finding {
    Finding { severity, text }
}

/// Whether the path carries what is watched.
fn bandwidth(path: &PathFigures) -> Vec<Finding> {
    let Some(estimate) = path.estimate else {
        let text = "The client sends no feedback about its path, so it is sent the best quality \
                    whatever the path carries.";
        let blind = (path.most > 0).then(|| finding(Severity::Note, text.to_owned()));
        return blind.into_iter().collect();
    };
    let carries = format!("The path to the viewer carries about {}", rate(estimate));
    let found = if path.paused {
        let text = format!(
            "{carries}; the lowest quality of what it watches needs {}. Video pauses, so that \
             sound gets through.",
            rate(path.least)
        );
        Some(finding(Severity::Bad, text))
    } else if estimate < path.least {
        let text =
            format!("{carries}; the lowest quality of what it watches needs {}.", rate(path.least));
        Some(finding(Severity::Bad, text))
    } else if path.given + path.given / 16 < path.most {
        let text = format!(
            "{carries}; the best quality of what it watches needs {}. It is given {}.",
            rate(path.most),
            rate(path.given)
        );
        Some(finding(Severity::Warning, text))
    } else {
        None
    };
    found.into_iter().collect()
}

fn losses(path: &PathFigures) -> Vec<Finding> {
    let ways = [
        (path.lost_down, "of packets are lost on the way to the viewer."),
        (
            path.lost_up,
            "of what it publishes is lost on the way to the server: everybody who \
                        watches it may see that.",
        ),
    ];
    let lost = ways.into_iter().filter_map(|(lost, text)| {
        let severity = severity_of_loss(lost)?;
        Some(finding(severity, format!("{} {text}", percent(lost))))
    });
    lost.collect()
}

fn delays(path: &PathFigures) -> Vec<Finding> {
    let mut findings = Vec::new();
    if path.queue >= QUEUE_BAD {
        let text = format!(
            "Packets wait {} ms in a queue on the path to the viewer: something else fills it, or \
             it became slower.",
            path.queue.as_millis()
        );
        findings.push(finding(Severity::Warning, text));
    }
    if let Some(trip) = path.round_trip.filter(|trip| *trip >= TRIP_NOTED) {
        let text = format!("The round trip takes {} ms: repairs come late.", trip.as_millis());
        findings.push(finding(Severity::Warning, text));
    }
    if path.key_frames >= KEY_FRAMES_NOTED {
        let text = format!(
            "The viewer asked for {} key frames within two seconds: its decoder cannot go on.",
            path.key_frames
        );
        findings.push(finding(Severity::Warning, text));
    }
    findings
}

fn source(source: &Source) -> Option<Finding> {
    let track = &source.track;
    if !source.sends {
        let text = format!("Nothing arrives of the track {track:?} that it watches.");
        return Some(finding(Severity::Warning, text));
    }
    let severity = severity_of_loss(source.lost)?;
    let text = format!(
        "{} of what the publisher of {track:?} sends is lost before it is here.",
        percent(source.lost)
    );
    Some(finding(severity, text))
}

fn severity_of_loss(lost: u16) -> Option<Severity> {
    match lost {
        LOSS_BAD.. => Some(Severity::Bad),
        LOSS_NOTED.. => Some(Severity::Warning),
        _ => None,
    }
}

/// A share of 1/1000 in percent.
fn percent(share: u16) -> String {
    format!("{} %", (share + 5) / 10)
}

/// A rate of bit/s in words.
fn rate(bits: u64) -> String {
    match bits {
        0..1_000_000 => format!("{} kbit/s", bits / 1_000),
        _ => format!("{}.{} Mbit/s", bits / 1_000_000, bits % 1_000_000 / 100_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The findings of a connected session.
    fn of(path: PathFigures) -> Vec<(Severity, String)> {
        let look = Look { connected: true, path, sources: Vec::new() };
        diagnose(&look).into_iter().map(|found| (found.severity, found.text)).collect()
    }

    const VIEWER: PathFigures = PathFigures {
        round_trip: Some(Duration::from_millis(40)),
        estimate: Some(3_000_000),
        queue: Duration::ZERO,
        lost_down: 0,
        lost_up: 0,
        least: 150_000,
        given: 1_200_000,
        most: 1_200_000,
        paused: false,
        nacked: 0,
        key_frames: 1,
    };

    #[test]
    fn nothing_stands_out_of_a_good_path() {
        assert_eq!(of(VIEWER), []);
        assert_eq!(of(PathFigures::default()), [], "who watches nothing needs no feedback");
    }

    #[test]
    fn a_thin_path_is_told_with_what_it_carries_and_what_is_needed() {
        let thin = PathFigures { estimate: Some(300_000), given: 150_000, ..VIEWER };
        let text = "The path to the viewer carries about 300 kbit/s; the best quality of what it \
                    watches needs 1.2 Mbit/s. It is given 150 kbit/s.";
        assert_eq!(of(thin), [(Severity::Warning, text.to_owned())]);
        let thinner = PathFigures { estimate: Some(100_000), lost_down: 84, ..thin };
        let texts = [
            (
                Severity::Bad,
                "The path to the viewer carries about 100 kbit/s; the lowest quality \
                             of what it watches needs 150 kbit/s.",
            ),
            (Severity::Warning, "8 % of packets are lost on the way to the viewer."),
        ];
        assert_eq!(of(thinner), texts.map(|(severity, text)| (severity, text.to_owned())));
        let paused = of(PathFigures { paused: true, ..thinner });
        assert!(paused[0].1.ends_with("Video pauses, so that sound gets through."), "{paused:?}");
        let blind = of(PathFigures { estimate: None, ..VIEWER });
        assert_eq!(blind[0].0, Severity::Note);
    }

    #[test]
    fn both_sides_of_each_border() {
        let count = |path| of(path).len();
        assert_eq!(count(PathFigures { lost_down: 19, lost_up: 19, ..VIEWER }), 0);
        assert_eq!(count(PathFigures { lost_down: 20, lost_up: 20, ..VIEWER }), 2);
        assert_eq!(count(PathFigures { queue: Duration::from_millis(99), ..VIEWER }), 0);
        assert_eq!(count(PathFigures { queue: Duration::from_millis(100), ..VIEWER }), 1);
        let trip = |ms| PathFigures { round_trip: Some(Duration::from_millis(ms)), ..VIEWER };
        assert_eq!((count(trip(299)), count(trip(300))), (0, 1));
        assert_eq!(count(PathFigures { key_frames: 5, ..VIEWER }), 0);
        assert_eq!(count(PathFigures { key_frames: 6, ..VIEWER }), 1);
        let bad = of(PathFigures { lost_up: 100, queue: QUEUE_BAD, ..VIEWER });
        assert_eq!(bad[0].0, Severity::Bad, "the gravest comes first: {bad:?}");
    }

    #[test]
    fn a_publisher_is_named_when_the_fault_is_there() {
        let source = |sends, lost| Source { track: "cam".to_owned(), sends, lost };
        let sources = vec![source(true, 0), source(false, 0), source(true, 150)];
        let found = diagnose(&Look { connected: true, path: VIEWER, sources });
        let texts: Vec<&str> = found.iter().map(|found| found.text.as_str()).collect();
        assert_eq!(
            texts,
            [
                "15 % of what the publisher of \"cam\" sends is lost before it is here.",
                "Nothing arrives of the track \"cam\" that it watches.",
            ]
        );
        assert_eq!(diagnose(&Look::default()).len(), 1, "not connected");
    }
}
