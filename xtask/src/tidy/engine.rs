//! Import directions inside the crate `engine`: shard -> walk -> paths -> tables -> stages -> kit.
//! A stage is a leaf: no stage imports another, no path another path. Read from the paths that start
//! with `crate` or `super`; test code is exempt.

use super::Violation;
use super::source::{Source, Token};

const FOLDER: &str = "dataplane/engine/src/";

/// Where a module of the engine stands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Level {
    /// Values, containers and the border to the world: used by all.
    Kit,
    /// One part of a packet's way.
    Stage,
    /// Holds the tables of all stages and what touches several of them.
    Tables,
    /// Joins the stages.
    Path,
    /// Gives each datagram to its path.
    Walk,
    /// The public surface.
    Shard,
}

/// The modules of the engine, from the top down; stages in packet order.
const MODULES: [(&str, Level); 17] = [
    ("shard", Level::Shard),
    ("ingress", Level::Walk),
    ("setup", Level::Path),
    ("media", Level::Path),
    ("feedback", Level::Path),
    ("commands", Level::Path),
    ("tick", Level::Path),
    ("tables", Level::Tables),
    ("demux", Level::Stage),
    ("transport", Level::Stage),
    ("publish", Level::Stage),
    ("history", Level::Stage),
    ("route", Level::Stage),
    ("subscribe", Level::Stage),
    ("channel", Level::Stage),
    ("kit", Level::Kit),
    ("host", Level::Kit),
];

/// Checks the engine's files among `sources`.
pub(super) fn check(sources: &[Source]) -> Vec<Violation> {
    let ours = sources.iter().filter(|source| source.path.starts_with(FOLDER));
    ours.flat_map(check_file).collect()
}

fn check_file(source: &Source) -> Vec<Violation> {
    let module = module_path(&source.path);
    // lib.rs declares the modules and re-exports from them.
    let Some(own) = module.first() else { return Vec::new() };
    if source.is_test_file() {
        return Vec::new();
    }
    let Some(level) = level(own) else {
        return vec![Violation::new(&source.path, 1, unknown(own))];
    };
    let mut found = Vec::new();
    for (offset, target) in references(source, &module) {
        if source.is_test(offset) || target == *own {
            continue;
        }
        let message = match self::level(&target) {
            None => Some(unknown(&target)),
            Some(other) if allowed(level, other) => None,
            Some(other) => Some(format!("{level:?} `{own}` must not import {other:?} `{target}`")),
        };
        if let Some(message) = message {
            found.push(Violation::new(&source.path, source.line(offset), message));
        }
    }
    found
}

fn unknown(module: &str) -> String {
    format!("`{module}` is no module of the engine with a level in xtask/src/tidy/engine.rs")
}

fn level(module: &str) -> Option<Level> {
    MODULES.iter().find(|(name, _)| *name == module).map(|&(_, level)| level)
}

/// Whether a module of one level may name another module of the other level.
fn allowed(from: Level, to: Level) -> bool {
    match (from, to) {
        (Level::Kit, Level::Kit) => true,
        _ => to < from,
    }
}

/// `src/demux/flows.rs` is the module `demux::flows`; lib.rs is the empty path.
fn module_path(path: &str) -> Vec<String> {
    let inside = path.strip_prefix(FOLDER).unwrap_or(path).trim_end_matches(".rs");
    let mut parts: Vec<String> = inside.split('/').map(str::to_owned).collect();
    if matches!(parts.last().map(String::as_str), Some("mod" | "lib" | "main")) {
        parts.pop();
    }
    parts
}

/// The modules directly below the crate's root that the file's paths name, with their offsets.
fn references(source: &Source, module: &[String]) -> Vec<(usize, String)> {
    let tokens = source.tokens();
    let mut found = Vec::new();
    // Inline modules around the current token: the depth of braces at which each began.
    let mut inline: Vec<usize> = Vec::new();
    let mut depth = 0_usize;
    for at in 0..tokens.len() {
        let (offset, token) = tokens[at];
        let before = at.checked_sub(1).map(|index| tokens[index].1);
        match token {
            Token::Mark('{') => {
                let name = at.checked_sub(2).map(|index| tokens[index].1);
                if name == Some(Token::Word("mod")) {
                    inline.push(depth);
                }
                depth += 1;
            }
            Token::Mark('}') => {
                depth = depth.saturating_sub(1);
                inline.pop_if(|began| *began == depth);
            }
            Token::Word("crate") if before != Some(Token::Path) => {
                let targets = heads(&tokens, at + 1);
                found.extend(targets.into_iter().map(|name| (offset, name)));
            }
            Token::Word("super") if before != Some(Token::Path) => {
                let climbs = 1
                    + (at + 1..)
                        .step_by(2)
                        .take_while(|&next| {
                            tokens.get(next).is_some_and(|t| t.1 == Token::Path)
                                && tokens.get(next + 1).is_some_and(|t| t.1 == Token::Word("super"))
                        })
                        .count();
                if climbs >= module.len() + inline.len() {
                    let targets = heads(&tokens, at + 2 * climbs - 1);
                    found.extend(targets.into_iter().map(|name| (offset, name)));
                }
            }
            _ => {}
        }
    }
    found
}

/// The first names behind the `::` at `at`: one, or those of a group in braces.
fn heads(tokens: &[(usize, Token<'_>)], at: usize) -> Vec<String> {
    let token = |index: usize| tokens.get(index).map(|found| found.1);
    if token(at) != Some(Token::Path) {
        return Vec::new();
    }
    match token(at + 1) {
        Some(Token::Word(name)) => vec![name.to_owned()],
        Some(Token::Mark('{')) => group(tokens, at + 2),
        Some(Token::Mark(other)) => vec![other.to_string()],
        _ => Vec::new(),
    }
}

/// The first names of a group whose content starts at `at`.
fn group(tokens: &[(usize, Token<'_>)], at: usize) -> Vec<String> {
    let mut names = Vec::new();
    let mut depth = 0_usize;
    let mut first = true;
    for &(_, token) in tokens.iter().skip(at) {
        match token {
            Token::Mark('{') => depth += 1,
            Token::Mark('}') if depth == 0 => break,
            Token::Mark('}') => depth -= 1,
            Token::Mark(',') => first = true,
            Token::Word(name) if depth == 0 && first => {
                names.push(name.to_owned());
                first = false;
            }
            Token::Mark('*') if depth == 0 && first => names.push("*".to_owned()),
            _ => {}
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(file: &str, text: &str) -> Vec<String> {
        let source = Source::new(&format!("{FOLDER}{file}"), text);
        check(&[source]).into_iter().map(|found| found.to_string()).collect()
    }

    #[test]
    fn allowed_directions_pass() {
        for (file, text) in [
            ("shard.rs", "use crate::ingress::walk;\nuse crate::{demux::Flows, kit::slab::Slab};"),
            ("ingress.rs", "use crate::media::on_rtp;\nfn f() { crate::demux::find(); }"),
            ("media.rs", "use crate::tables::Tables;\nuse crate::subscribe::Pick;"),
            ("demux/flows.rs", "use crate::kit::slab::Slab;\nuse crate::host::Host;"),
            ("demux/flows.rs", "use super::claim::Claim;\nuse crate::demux::claim;"),
            ("demux/mod.rs", "pub(crate) mod flows;\npub(super) fn f() {}"),
            ("history/ring.rs", "mod inner { use super::super::slots; use super::Ring; }"),
            ("kit/packet.rs", "use crate::host::Host;"),
            ("lib.rs", "pub use shard::Shard;\npub use crate::host::Host;"),
            ("publish/loss.rs", "// use crate::route::Table;\nconst S: &str = \"crate::route\";"),
            ("publish/loss.rs", "#[cfg(test)]\nmod tests { use crate::route::Table; }"),
            ("publish/tests.rs", "use crate::route::Table;"),
        ] {
            assert_eq!(messages(file, text), Vec::<String>::new(), "{file}: {text}");
        }
    }

    #[test]
    fn forbidden_directions_are_found() {
        for (file, text) in [
            ("publish/loss.rs", "use crate::route::Table;"),
            ("publish/loss.rs", "use crate::{kit::slab::Slab, route::{Table, Target}};"),
            ("publish/loss.rs", "fn f() { let x = crate::route::Table::new(); }"),
            ("publish/loss.rs", "use super::super::route::Table;"),
            ("publish/loss.rs", "use super::super::{kit::slab::Slab, route::Table};"),
            ("publish/mod.rs", "use super::route::Table;"),
            ("publish/mod.rs", "mod inner { use super::super::route::Table; }"),
            ("publish/mod.rs", "use crate::ingress::walk;"),
            ("publish/mod.rs", "use crate::*;"),
            ("publish/mod.rs", "use crate::{kit::slab::Slab, *};"),
            ("publish/mod.rs", "use crate::Shard;"),
            ("media.rs", "use crate::feedback::report;"),
            ("media.rs", "use super::feedback::report;"),
            ("media.rs", "use crate::ingress::walk;"),
            ("tables/mod.rs", "use crate::media::on_rtp;"),
            ("kit/slab.rs", "use crate::demux::Flows;"),
            ("helpers.rs", ""),
        ] {
            assert_eq!(messages(file, text).len(), 1, "{file}: {text}");
        }
    }

    #[test]
    fn place_and_names_are_said() {
        assert_eq!(
            messages("publish/loss.rs", "\nuse crate::route::Table;"),
            [
                "dataplane/engine/src/publish/loss.rs:2: Stage `publish` must not import Stage `route`"
            ]
        );
    }
}
