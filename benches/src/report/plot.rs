//! The report as a picture: bars of CPU time per forwarded packet, a group for each scenario, in one
//! SVG without scripts or fonts of its own, readable on light and dark ground.

use std::fmt::Write;

use super::Report;

/// Measures in user units.
const WIDTH: f64 = 760.0;
const LEFT: f64 = 150.0;
const BAR: f64 = 16.0;
const GAP: f64 = 4.0;
const HEAD: f64 = 26.0;
/// Bars end here, so that their figures fit behind them.
const LONGEST: f64 = WIDTH - LEFT - 70.0;
/// The figure that is drawn.
const FIGURE: &str = "cpu_us_per_packet";

/// Colours by the beginning of a server's name.
const COLOURS: [(&str, &str); 4] =
    [("fanfall", "#0969da"), ("floor", "#8c959f"), ("str0m", "#bf8700"), ("janus", "#cf222e")];

/// Draws the report.
pub(crate) fn svg(report: &Report) -> String {
    let costs: Vec<(&str, &str, f64)> = report
        .rows
        .iter()
        .filter(|row| {
            row.scenario.starts_with("broadcast") || row.scenario.starts_with("conference")
        })
        .filter_map(|row| {
            Some((row.scenario.as_str(), row.server.as_str(), row.median().get(FIGURE)?))
        })
        .collect();
    let most = costs.iter().map(|(.., cost)| *cost).fold(0.1, f64::max);
    let mut bars = String::new();
    let mut y = HEAD + GAP;
    let mut group = "";
    for (scenario, server, cost) in costs {
        if scenario != group {
            group = scenario;
            y += HEAD;
            let _ = writeln!(
                bars,
                "<text x=\"{GAP}\" y=\"{:.0}\" font-weight=\"bold\">{scenario}</text>",
                y - 8.0
            );
        }
        let length = LONGEST * cost / most;
        let colour = COLOURS.iter().find(|(name, _)| server.starts_with(name));
        let colour = colour.map_or("#8c959f", |(_, colour)| colour);
        let text = y + BAR - 4.0;
        let _ = writeln!(
            bars,
            "<text x=\"{:.0}\" y=\"{text:.0}\" text-anchor=\"end\">{server}</text>\
             <rect x=\"{LEFT}\" y=\"{y:.0}\" width=\"{length:.1}\" height=\"{BAR}\" fill=\"{colour}\"/>\
             <text x=\"{:.1}\" y=\"{text:.0}\">{cost:.2}</text>",
            LEFT - 6.0,
            LEFT + length + 5.0
        );
        y += BAR + GAP;
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {y:.0}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n<style>text {{ fill: #57606a }}</style>\n\
         <text x=\"{GAP}\" y=\"18\" font-size=\"14\">CPU microseconds per forwarded packet \
         (server process, user and kernel)</text>\n{bars}</svg>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Row;
    use crate::report::figures::Figures;

    #[test]
    fn every_row_with_a_cost_has_a_bar() {
        let row = |scenario: &str, server: &str, cost: Option<f64>| {
            let mut figures = Figures::default();
            cost.into_iter().for_each(|cost| figures.set(FIGURE, cost));
            Row {
                scenario: scenario.to_owned(),
                server: server.to_owned(),
                runs: vec![figures],
                errors: Vec::new(),
            }
        };
        let rows = vec![
            row("broadcast-video", "fanfall", Some(2.0)),
            row("broadcast-video", "janus", Some(8.0)),
            row("conference-1x10", "str0m", None),
            row("idle", "fanfall", Some(1.0)),
        ];
        let svg = svg(&Report { facts: Vec::new(), rows });
        assert_eq!(svg.matches("<rect").count(), 2);
        assert!(svg.contains(">8.00<") && svg.ends_with("</svg>\n"));
    }
}
