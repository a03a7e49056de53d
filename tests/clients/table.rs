//! The table of clients that the README holds, made of the results of `matrix`.

use std::fmt::Write;

/// What a client was tried for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Column {
    Publish,
    Subscribe,
    Close,
    Repull,
    Data,
}

impl Column {
    const ALL: [Self; 5] = [Self::Publish, Self::Subscribe, Self::Close, Self::Repull, Self::Data];
}

/// The results of one client: of each column, the reasons why not; none when it was never tried.
pub(crate) struct Row {
    name: &'static str,
    version: String,
    results: [Option<Vec<String>>; 5],
    /// What the client does not have.
    lacks: Vec<Column>,
}

impl Row {
    pub(crate) fn new(name: &'static str, version: &str) -> Self {
        let (version, results, lacks) = (version.to_owned(), Default::default(), Vec::new());
        Self { name, version, results, lacks }
    }

    /// Says that the client has nothing that could be tried.
    pub(crate) fn lacks(mut self, column: Column) -> Self {
        self.lacks.push(column);
        self
    }

    /// Whether the client has what the column tries.
    pub(crate) fn has(&self, column: Column) -> bool {
        !self.lacks.contains(&column)
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
        Column::ALL.iter().filter(|column| self.has(**column)).flat_map(reasons).collect()
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
        "| client | version | publish | subscribe | close | pull again | data |\n\
         |---|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let cells = Column::ALL.map(|column| row.cell(column)).join(" | ");
        writeln!(text, "| {} | {} | {cells} |", row.name, row.version).unwrap();
    }
    text
}
