//! What a run found out: `figures` holds it, `table` prints it, `plot` draws it, `baseline` compares
//! it with what was committed, `merge` makes one of several. Filled by `run`.

pub(crate) mod baseline;
pub(crate) mod figures;
pub(crate) mod merge;
pub(crate) mod plot;
pub(crate) mod table;

use serde_json::{Map, Value, json};

use figures::Figures;

/// One server, or floor, in one scenario.
pub(crate) struct Row {
    pub(crate) scenario: String,
    pub(crate) server: String,
    /// Each run, in the order they were made.
    pub(crate) runs: Vec<Figures>,
    pub(crate) errors: Vec<String>,
}

impl Row {
    /// The median of its runs.
    pub(crate) fn median(&self) -> Figures {
        Figures::median(&self.runs)
    }
}

/// Everything a run found out.
#[derive(Default)]
pub(crate) struct Report {
    /// Machine, kernel, commit, command, servers.
    pub(crate) facts: Vec<(String, String)>,
    pub(crate) rows: Vec<Row>,
}

impl Report {
    /// The row of a server in a scenario.
    pub(crate) fn row(&self, scenario: &str, server: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.scenario == scenario && row.server == server)
    }

    /// The scenarios, in order.
    pub(crate) fn scenarios(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.rows.iter().map(|row| row.scenario.as_str()).collect();
        names.dedup();
        names
    }

    /// The report as JSON: medians, and every run behind them.
    pub(crate) fn json(&self) -> Value {
        let object = |figures: &Figures| {
            let rounded = figures
                .iter()
                .map(|(name, value)| (name.to_owned(), json!((value * 1e3).round() / 1e3)));
            Value::Object(rounded.collect::<Map<_, _>>())
        };
        let rows = self.rows.iter().map(|row| {
            json!({
                "scenario": row.scenario,
                "server": row.server,
                "about": row.median().about,
                "median": object(&row.median()),
                "runs": row.runs.iter().map(object).collect::<Vec<_>>(),
                "errors": row.errors,
            })
        });
        let facts = self.facts.iter().map(|(name, text)| (name.clone(), json!(text)));
        json!({
            "facts": Value::Object(facts.collect()),
            "rows": rows.collect::<Vec<_>>(),
        })
    }
}
