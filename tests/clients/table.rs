//! The table of clients that the README holds, made of the results of `matrix`.

use std::fmt::Write;

/// What a client was tried for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Column {
    Publish,
    Subscribe,
    Close,
    Repull,
}

impl Column {
    const ALL: [Self; 4] = [Self::Publish, Self::Subscribe, Self::Close, Self::Repull];
}

/// The results of one client: of each column, the reasons why not; none when it was never tried.
pub(crate) struct Row {
    name: &'static str,
    version: String,
    results: [Option<Vec<String>>; 4],
}

impl Row {
    pub(crate) fn new(name: &'static str, version: &str) -> Self {
        Self { name, version: version.to_owned(), results: Default::default() }
    }

    pub(crate) fn name(&self) -> &str {
        self.name
    }

    /// Adds a result; a column is good when all its results are.
    pub(crate) fn note(&mut self, column: Column, result: Result<(), String>) {
        self.results[column as usize].get_or_insert_default().extend(result.err());
    }

    /// What went wrong.
    pub(crate) fn failures(&self) -> Vec<String> {
        let reasons = |&column: &Column| {
            let tried = self.results[column as usize].clone();
            let reasons = tried.unwrap_or_else(|| vec!["was not tried".to_owned()]);
            reasons.into_iter().map(move |reason| format!("{}: {column:?}: {reason}", self.name))
        };
        Column::ALL.iter().flat_map(reasons).collect()
    }

    fn cell(&self, column: Column) -> &'static str {
        match &self.results[column as usize] {
            Some(reasons) if reasons.is_empty() => "yes",
            Some(_) => "NO",
            None => "-",
        }
    }
}

/// The table, in Markdown.
pub(crate) fn markdown(rows: &[Row]) -> String {
    let mut text = String::from(
        "| client | version | publish | subscribe | close | pull again |\n|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let cells = Column::ALL.map(|column| row.cell(column)).join(" | ");
        writeln!(text, "| {} | {} | {cells} |", row.name, row.version).unwrap();
    }
    text
}
