//! The table of clients in the README: it must name the versions of the lock files, so that it is made
//! anew when a client is. Browsers and GStreamer come with the distribution and are not compared.

use super::Violation;
use crate::clients::TABLE_BEGIN;
use crate::readme::TABLE_END;

/// Lock files, and the clients of the table that each of them names.
const NPM: (&str, [&str; 3]) =
    ("tests/clients/package-lock.json", ["@roamhq/wrtc", "partytracks", "werift"]);
const PIP: (&str, [&str; 1]) = ("tests/clients/requirements.txt", ["aiortc"]);

/// Checks README.md among `files` against the lock files.
pub(super) fn check(files: &[(String, String)]) -> Vec<Violation> {
    let text = |wanted: &str| files.iter().find(|(path, _)| path == wanted).map(|(_, text)| text);
    let Some(readme) = text("README.md") else { return Vec::new() };
    let npm = text(NPM.0).into_iter().flat_map(|lock| NPM.1.map(|name| (name, npm(lock, name))));
    let pip = text(PIP.0).into_iter().flat_map(|lock| PIP.1.map(|name| (name, pip(lock, name))));
    npm.chain(pip).filter_map(|(name, version)| compare(readme, name, version?)).collect()
}

fn compare(readme: &str, name: &str, version: &str) -> Option<Violation> {
    let mut table = readme.lines().enumerate();
    let begin = table.find(|(_, line)| *line == TABLE_BEGIN).map_or(0, |(index, _)| index);
    let row = format!("| {name} | {version} |");
    let found =
        table.take_while(|(_, line)| *line != TABLE_END).any(|(_, at)| at.starts_with(&row));
    let message = format!("the table of clients has no `{name}` {version}: cargo xtask matrix");
    (!found).then(|| Violation::new("README.md", begin + 1, message))
}

/// The version of a package in package-lock.json: the line below the one that opens its entry.
fn npm<'a>(lock: &'a str, name: &str) -> Option<&'a str> {
    let (_, entry) = lock.split_once(&format!("\"node_modules/{name}\": {{"))?;
    let (_, rest) = entry.split_once("\"version\": \"")?;
    rest.split_once('"').map(|(version, _)| version)
}

/// The version of a package in requirements.txt.
fn pip<'a>(lock: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = lock.lines();
    let pinned = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix("=="))?;
    pinned.split_whitespace().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(row: &str) -> Vec<(String, String)> {
        let lock = "{ \"node_modules/werift\": {\n  \"version\": \"1.2.3\",";
        let readme = format!("| werift | 1.2.3 |\n{TABLE_BEGIN}\n{row}\n{TABLE_END}\n");
        let pins = "av==1.0 \\\naiortc==4.5 \\\n    --hash=x";
        [("README.md", &*readme), (NPM.0, lock), (PIP.0, pins)]
            .map(|(path, text)| (path.to_owned(), text.to_owned()))
            .to_vec()
    }

    #[test]
    fn versions_must_be_those_of_the_lock_files() {
        assert!(check(&files("| werift | 1.2.3 | yes |\n| aiortc | 4.5 | yes |")).is_empty());
        let found = check(&files("| werift | 1.2.4 | yes |\n| aiortc | 4.5 | yes |"));
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].line, 2);
        assert_eq!(check(&files("")).len(), 2);
    }
}
