//! A Rust file, prepared for the rules: its code without comments and literals, and which of its
//! lines are test code. Knows just enough of the lexical rules to never take a word in a comment
//! or a string for code; it does not parse.

/// A Rust file.
pub(super) struct Source {
    /// Path relative to the root.
    pub(super) path: String,
    /// The text as it stands in the file.
    pub(super) text: String,
    /// Same length and lines as `text`, comments and the contents of literals blanked.
    pub(super) code: String,
    /// Byte ranges of items under `#[cfg(test)]`.
    tests: Vec<(usize, usize)>,
}

/// A lexical unit of the code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Token<'a> {
    /// Identifier or keyword.
    Word(&'a str),
    /// `::`
    Path,
    /// Any other character that is not a space.
    Mark(char),
}

impl Source {
    pub(super) fn new(path: &str, text: &str) -> Self {
        let code = mask(text);
        let tests = test_ranges(&code);
        Self { path: path.to_owned(), text: text.to_owned(), code, tests }
    }

    /// Line of a byte offset, from 1.
    pub(super) fn line(&self, offset: usize) -> usize {
        self.code.bytes().take(offset).filter(|&byte| byte == b'\n').count() + 1
    }

    /// Whether the whole file is test code: `tests.rs` beside the code, or a crate's own folder
    /// `tests`. The crate `tests` is a harness and held to the rules of all code.
    pub(super) fn is_test_file(&self) -> bool {
        self.path.ends_with("/tests.rs") || self.path.contains("/tests/")
    }

    /// Whether a byte offset lies in test code.
    pub(super) fn is_test(&self, offset: usize) -> bool {
        self.is_test_file() || self.tests.iter().any(|&(from, to)| (from..to).contains(&offset))
    }

    /// Lines that belong to items under `#[cfg(test)]`.
    pub(super) fn test_lines(&self) -> usize {
        self.tests.iter().map(|&(from, to)| self.line(to) - self.line(from) + 1).sum()
    }

    /// The code's tokens with their byte offsets.
    pub(super) fn tokens(&self) -> Vec<(usize, Token<'_>)> {
        tokens(&self.code)
    }
}

/// The tokens of masked code with their byte offsets.
pub(super) fn tokens(code: &str) -> Vec<(usize, Token<'_>)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(first) = code[at..].chars().next() {
        let rest = &code[at..];
        if is_word(first) {
            let len = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            found.push((at, Token::Word(&rest[..len])));
            at += len;
        } else if rest.starts_with("::") {
            found.push((at, Token::Path));
            at += 2;
        } else {
            if !first.is_whitespace() {
                found.push((at, Token::Mark(first)));
            }
            at += first.len_utf8();
        }
    }
    found
}

/// Offset just behind the bracket that closes the one at `open`; the end if nothing closes it.
pub(super) fn matching(code: &str, open: usize) -> usize {
    let mut depth = 0_usize;
    for (at, byte) in code.bytes().enumerate().skip(open) {
        match byte {
            b'{' | b'(' | b'[' => depth += 1,
            b'}' | b')' | b']' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
    }
    code.len()
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

/// Ranges of the items that follow `#[cfg(test)]`.
fn test_ranges(code: &str) -> Vec<(usize, usize)> {
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for (from, marker) in code.match_indices("#[cfg(test)]") {
        if ranges.last().is_some_and(|&(_, end)| from < end) {
            continue;
        }
        let mut at = from + marker.len();
        let end = loop {
            match code[at..].find(['{', ';', '[']).map(|found| at + found) {
                None => break code.len(),
                Some(found) if code.as_bytes()[found] == b';' => break found + 1,
                Some(found) if code.as_bytes()[found] == b'{' => break matching(code, found),
                Some(found) => at = matching(code, found),
            }
        };
        ranges.push((from, end));
    }
    ranges
}

/// Replaces comments and the contents of literals by spaces; keeps lengths and line ends.
fn mask(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        let rest = &text[at..];
        let (blank, kept) = if rest.starts_with("//") {
            (rest.find('\n').unwrap_or(rest.len()), 0)
        } else if rest.starts_with("/*") {
            (block_comment(rest), 0)
        } else if first == '"' {
            (quoted(rest, '"'), 1)
        } else if first == '\'' {
            (character(rest), 1)
        } else if is_word(first) {
            let word = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            let raw = matches!(&rest[..word], "r" | "br" | "cr")
                .then(|| raw_string(&rest[word..]))
                .flatten();
            code.push_str(&rest[..word]);
            at += word;
            if let Some(len) = raw {
                blank_out(&mut code, &rest[word..word + len]);
                at += len;
            }
            continue;
        } else {
            (0, first.len_utf8())
        };
        // A quote stays on both ends of a literal, so that a string is still something.
        if blank > 2 * kept && kept == 1 {
            code.push(first);
            blank_out(&mut code, &rest[1..blank - 1]);
            code.push(first);
            at += blank;
        } else if blank > 0 {
            blank_out(&mut code, &rest[..blank]);
            at += blank;
        } else {
            code.push(first);
            at += first.len_utf8();
        }
    }
    code
}

fn blank_out(code: &mut String, text: &str) {
    code.extend(text.bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }));
}

/// Length of the (nested) block comment at the start.
fn block_comment(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut depth = 0_usize;
    let mut at = 0;
    while at < bytes.len() {
        match bytes.get(at..at + 2) {
            Some(b"/*") => (depth, at) = (depth + 1, at + 2),
            Some(b"*/") => (depth, at) = (depth.saturating_sub(1), at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at.min(bytes.len())
}

/// Length of the literal at the start, its quotes included.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == quote {
            return at + 1;
        }
    }
    text.len()
}

/// Length of the character literal at the start; 0 when it is a lifetime.
fn character(text: &str) -> usize {
    let mut chars = text.chars().skip(1);
    match (chars.next(), chars.next()) {
        (Some('\\'), _) | (Some(_), Some('\'')) => quoted(text, '\''),
        _ => 0,
    }
}

/// Length of what follows the `r` of a raw string; None when it is something else (`r#type`).
fn raw_string(text: &str) -> Option<usize> {
    let hashes = text.bytes().take_while(|&byte| byte == b'#').count();
    text[hashes..].starts_with('"').then(|| {
        let end = format!("\"{}", "#".repeat(hashes));
        let start = hashes + 1;
        text[start..].find(&end).map_or(text.len(), |found| start + found + end.len())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_blanked() {
        for (text, code) in [
            ("a // unsafe\nb", "a          \nb"),
            ("a /* x /* y */ z */ b", "a                   b"),
            (r#"f("un\"safe") g"#, r#"f("        ") g"#),
            (r##"f(r#"a"b"#) g"##, "f(r       ) g"),
            ("'{' 'a '\\'' &'a str", "' ' 'a '  ' &'a str"),
            ("b'{' b\"{\" r#type", "b' ' b\" \" r#type"),
            ("\"\" x", "   x"),
        ] {
            assert_eq!(mask(text), code, "{text}");
        }
    }

    #[test]
    fn masking_keeps_lengths() {
        let text = "let s = \"ö\n\"; // ü\n'é' /* ä */";
        let code = mask(text);
        assert_eq!(code.len(), text.len());
        assert_eq!(code.lines().count(), text.lines().count());
    }

    #[test]
    fn test_items_are_found() {
        let text = "fn a() {}\n#[cfg(test)]\n#[allow(x)]\nmod tests {\n  fn b() {}\n}\nfn c() {}\n";
        let source = Source::new("x/src/a.rs", text);
        assert_eq!(source.test_lines(), 5);
        assert!(source.is_test(text.find("fn b").unwrap_or(0)));
        assert!(!source.is_test(text.find("fn a").unwrap_or(0)));
        assert!(!source.is_test(text.find("fn c").unwrap_or(0)));
        assert_eq!(Source::new("x.rs", "#[cfg(test)]\nmod tests;\nfn a() {}").test_lines(), 2);
    }

    #[test]
    fn test_files_are_known_by_their_path() {
        for (path, test) in [
            ("controlplane/tests/http.rs", true),
            ("dataplane/proto/src/stun/tests.rs", true),
            ("tests/src/sim.rs", false),
            ("tests/sim/main.rs", false),
            ("dataplane/src/worker.rs", false),
        ] {
            assert_eq!(Source::new(path, "").is_test_file(), test, "{path}");
        }
    }

    #[test]
    fn tokens_have_offsets() {
        let found = tokens("a::b {");
        assert_eq!(
            found,
            [(0, Token::Word("a")), (1, Token::Path), (3, Token::Word("b")), (5, Token::Mark('{'))]
        );
    }
}
