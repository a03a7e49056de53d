//! The scoreboard as Markdown: what the columns mean, one table of all rows, one of the steps.
//! Called by `main`; text only.

use std::fmt::Write;
use std::time::Duration;

use crate::matrix::{Case, Result};

const HEAD: &str = "\
# Scoreboard

Written by `cargo xtask scoreboard`; each row is a simulated trial with a fixed seed, so a change of
a figure is a change of behaviour. One viewer, 20 ms from the node in each direction, watches a
camera (encodings q 120 kbit/s, h 320 kbit/s, f 1.5 Mbit/s, three temporal layers, 30 frames a
second, key frames five times as large) and a microphone for 20 s; the publisher is 10 ms away. Rows
about a publisher have one encoding of 800 kbit/s; viewers far away or cut off have q and h alone, as
the viewer's stack asks for the last 100 packets only. Everybody is connected before the links go bad.

| column | meaning |
|---|---|
| first | ms from subscribing to the first decodable frame |
| freeze | longest time in ms between two decodable frames; how many were above 183 ms |
| settled | ms from the last change of the links to the last freeze or change of encoding |
| frames | frames shown |
| repaired/missing | packets that came after all, of those missing when a later one came |
| late | packets missing for more than 150 ms |
| asked/lost | packets the publisher was asked for again, of video packets it lost (resent ones too) |
| estimate | estimate over capacity, mean of the last 5 s |
| carried | mean kbit/s towards the viewer: media, resends, probes, RTCP |
| queue | 95th percentile of the wait for the bottleneck in ms |
| audio | audio packets that never came; longest time in ms between two |
| switches | changes of encoding, and the one shown last |
| faults | sequence, timestamp, picture number and payload faults a decoder would see |

";

/// The whole text.
pub(crate) fn text(cases: &[Case], results: &[Result]) -> String {
    let mut text = HEAD.to_owned();
    let columns = [
        "trial",
        "first",
        "freeze",
        "settled",
        "frames",
        "repaired/missing",
        "late",
        "asked/lost",
        "estimate",
        "carried",
        "queue",
        "audio",
        "switches",
        "faults",
    ];
    let _ =
        writeln!(text, "| {} |\n|---|{}", columns.join(" | "), "--:|".repeat(columns.len() - 1));
    for (case, result) in cases.iter().zip(results) {
        let row = &result.row;
        let estimate = row.estimate_of_capacity.map_or("-".to_owned(), |part| format!("{part:.2}"));
        let _ = writeln!(
            text,
            "| {} | {} | {}, {} | {} | {} | {}/{} | {} | {}/{} | {} | {} | {} | {}, {} | {} {} | {} |",
            case.name,
            optional_ms(row.first_frame),
            row.freeze.as_millis(),
            row.freezes,
            optional_ms(row.recovery),
            row.frames,
            row.repaired,
            row.missed,
            row.overdue,
            row.asked,
            row.lost_up,
            estimate,
            row.carried / 1000,
            row.queue.as_millis(),
            row.sound_missing,
            row.silence.as_millis(),
            row.switches,
            row.last.unwrap_or("-"),
            row.violations,
        );
    }
    text += "\n## Steps\n\nCapacity falls after 12 s and rises again after 24 s: ms until the ";
    text += "estimate is below the narrow\ncapacity, ms until it is within 90 % of the wide one ";
    text += "again, and the encodings on show just before\neach change and at the end.\n\n";
    text += "| trial | below | back | freeze | queue | shown |\n|---|--:|--:|--:|--:|---|\n";
    for (case, result) in cases.iter().zip(results).filter(|(case, _)| case.steps.is_some()) {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} |",
            case.name,
            optional_ms(result.below),
            optional_ms(result.back),
            result.row.freeze.as_millis(),
            result.row.queue.as_millis(),
            result.shown.join(" "),
        );
    }
    text
}

fn optional_ms(time: Option<Duration>) -> String {
    time.map_or("never".to_owned(), |time| time.as_millis().to_string())
}
