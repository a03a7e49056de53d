//! Tables in the README that a command makes: each stands between a mark of its own and the common
//! end, and is replaced as a whole. Called by `clients` and `bench`.

use std::path::Path;

/// What stands behind each table.
pub(crate) const TABLE_END: &str = "<!-- end -->";

/// Puts a table behind its mark into the README of the project in `root`.
pub(crate) fn put(root: &Path, begin: &str, table: &str) -> Result<(), String> {
    let path = root.join("README.md");
    let readme = std::fs::read_to_string(&path).map_err(|error| format!("README.md: {error}"))?;
    let changed = replaced(&readme, begin, table)
        .ok_or_else(|| format!("README.md has no place `{begin}` for the table"))?;
    std::fs::write(&path, changed).map_err(|error| format!("README.md is not written: {error}"))
}

/// The README with another table between the two marks.
fn replaced(readme: &str, begin: &str, table: &str) -> Option<String> {
    let (before, rest) = readme.split_once(begin)?;
    let (_, after) = rest.split_once(TABLE_END)?;
    Some(format!("{before}{begin}\n{table}{TABLE_END}{after}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_table_is_put_between_its_marks() {
        let readme = format!("a\n<1>\nold\n{TABLE_END}\n<2>\nkept\n{TABLE_END}\nb\n");
        let changed = replaced(&readme, "<1>", "new\n").unwrap();
        assert_eq!(changed, readme.replace("old", "new"));
        assert_eq!(replaced(&changed, "<1>", "new\n").unwrap(), changed);
        assert_eq!(replaced("nothing", "<1>", "new"), None);
    }
}
