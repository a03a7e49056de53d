//! One report of several: a full run takes half an hour, so its scenarios and rounds may be measured in
//! calls of their own while the machine is quiet. Reads what [`Report::json`] wrote. Called by
//! `run::merge`; never joins what was measured with different programs or on different machines.

use serde_json::Value;

use super::figures::Figures;
use super::{Report, Row};
use crate::Outcome;

/// Facts that all parts have in common. The others are listed.
const COMMON: [&str; 4] = ["machine", "kernel", "commit", "build"];

impl Report {
    /// Takes another report's runs. Errors: it is no report, or of another build, machine or kernel.
    pub(crate) fn absorb(&mut self, part: &Value) -> Outcome<()> {
        let facts = part["facts"].as_object().ok_or("no report of the benches")?;
        for (name, text) in facts {
            self.fact(name, text.as_str().unwrap_or_default())?;
        }
        for row in part["rows"].as_array().into_iter().flatten() {
            self.lines(row);
        }
        Ok(())
    }

    fn fact(&mut self, name: &str, text: &str) -> Outcome<()> {
        match self.facts.iter_mut().find(|(known, _)| known == name) {
            None => self.facts.push((name.to_owned(), text.to_owned())),
            Some((_, known)) if known.split("; ").any(|one| one == text) => {}
            Some((_, known)) if COMMON.contains(&name) => {
                return Err(format!("{name} is {text}, not {known}").into());
            }
            Some((_, known)) => *known = format!("{known}; {text}"),
        }
        Ok(())
    }

    /// Lines the runs of a row up with those that are there.
    fn lines(&mut self, row: &Value) {
        let text = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
        let (scenario, server) = (text("scenario"), text("server"));
        let known = |one: &Row| one.scenario == scenario && one.server == server;
        let place = self.rows.iter().position(known).unwrap_or_else(|| {
            // Beside the others of its scenario.
            let last = self.rows.iter().rposition(|one| one.scenario == scenario);
            let place = last.map_or(self.rows.len(), |last| last + 1);
            let (scenario, server) = (scenario.clone(), server.clone());
            let row = Row { scenario, server, runs: Vec::new(), errors: Vec::new() };
            self.rows.insert(place, row);
            place
        });
        let Some(known) = self.rows.get_mut(place) else { return };
        let runs = row["runs"].as_array().into_iter().flatten();
        known.runs.extend(runs.map(|run| figures(run, text("about"))));
        let errors = row["errors"].as_array().into_iter().flatten().filter_map(Value::as_str);
        known.errors.extend(errors.map(str::to_owned));
    }
}

fn figures(run: &Value, about: String) -> Figures {
    let mut figures = Figures::default();
    figures.about = about;
    for (name, value) in run.as_object().into_iter().flatten() {
        value.as_f64().into_iter().for_each(|value| figures.set(name, value));
    }
    figures
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn part(commit: &str, scenario: &str, server: &str, cost: f64) -> Value {
        json!({
            "facts": { "commit": commit, "command": scenario },
            "rows": [{
                "scenario": scenario, "server": server, "about": "words", "errors": ["once"],
                "runs": [{ "cpu_us_per_packet": cost }],
            }],
        })
    }

    #[test]
    fn runs_of_one_server_are_lined_up() {
        let mut report = Report::default();
        report.absorb(&part("a", "idle", "fanfall", 1.0)).unwrap();
        report.absorb(&part("a", "churn", "fanfall", 5.0)).unwrap();
        report.absorb(&part("a", "idle", "janus", 9.0)).unwrap();
        report.absorb(&part("a", "idle", "fanfall", 3.0)).unwrap();
        assert_eq!(report.scenarios(), ["idle", "churn"]);
        let row = report.row("idle", "fanfall").unwrap();
        assert_eq!((row.runs.len(), row.errors.len()), (2, 2));
        assert_eq!(row.median().get("cpu_us_per_packet"), Some(2.0));
        assert_eq!(row.median().about, "words");
        assert!(report.facts.contains(&("command".into(), "idle; churn".into())));
    }

    #[test]
    fn other_programs_and_other_files_are_refused() {
        let mut report = Report::default();
        report.absorb(&part("a", "idle", "fanfall", 1.0)).unwrap();
        assert!(report.absorb(&part("b", "idle", "fanfall", 1.0)).is_err());
        assert!(report.absorb(&json!([])).is_err());
    }
}
