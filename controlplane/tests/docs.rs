//! Runs every command of the documents in `docs/`, in order, against a real server, and compares what
//! it says with the JSON that a document shows behind it: the same fields with values of the same
//! kind. Blocks of `sh not-run` are not run; how many there are is held here, with the reason.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

const APP: &str = "00112233445566778899aabbccddeeff";
const SECRET: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
const ACCOUNT_TOKEN: &str = "ffeeddccbbaa99887766554433221100";

/// The documents, and how many of their blocks are not run: the start of the server, which the test
/// has started, and the environment, which it has set.
const DOCUMENTS: [(&str, usize); 5] = [
    ("getting-started.md", 2),
    ("api-guide.md", 0),
    ("operating.md", 0),
    ("troubleshooting.md", 0),
    ("migration.md", 0),
];

/// What is written between the replies of two blocks.
const BETWEEN: &str = "--- next block ---";

/// A fenced block: its info string and its text.
struct Block {
    info: String,
    text: String,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs")
}

fn blocks(document: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut open = false;
    for line in document.lines() {
        match line.strip_prefix("```") {
            Some(info) if !open => {
                blocks.push(Block { info: info.to_owned(), text: String::new() });
                open = true;
            }
            Some(_) => open = false,
            None if open => {
                let text = &mut blocks.last_mut().unwrap().text;
                text.push_str(line);
                text.push('\n');
            }
            None => {}
        }
    }
    assert!(!open, "a block is not closed");
    blocks
}

/// A server of its own, killed when dropped.
struct Server {
    child: Child,
    address: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    fn start(state: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_fanfall"))
            .args(["--http", "127.0.0.1:0", "--media-port", "0", "--pin", "off", "--cores", "1"])
            .arg("--state")
            .arg(state)
            .envs([("FANFALL_APP_ID", APP), ("FANFALL_APP_SECRET", SECRET)])
            .env("FANFALL_ACCOUNT_TOKEN", ACCOUNT_TOKEN)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let page = lines.map_while(Result::ok).find_map(|line| {
            let address = line.split_once("http://")?.1.trim_end_matches('/').to_owned();
            Some(address)
        });
        Self { child, address: page.expect("the banner names the page") }
    }

    /// Runs a script as a reader of the documents would; returns what it says.
    fn run(&self, name: &str, script: &str) -> String {
        let binary = Path::new(env!("CARGO_BIN_EXE_fanfall")).parent().unwrap();
        let path = std::env::var("PATH").unwrap_or_default();
        let place = tempfile::tempdir().unwrap();
        let output = Command::new("sh")
            .args(["-eu", "-c", script])
            .current_dir(place.path())
            .env("PATH", format!("{}:{path}", binary.display()))
            .env("FANFALL", format!("http://{}", self.address))
            .envs([("APP", APP), ("SECRET", SECRET), ("FANFALL_HTTP", &self.address)])
            .env("FANFALL_ACCOUNT_TOKEN", ACCOUNT_TOKEN)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let why = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{name}: {}\n{said}\n{why}", output.status);
        said
    }
}

/// Whether two values have the same fields, with values of the same kind.
fn alike(shown: &Value, said: &Value) -> bool {
    match (shown, said) {
        (Value::Object(shown), Value::Object(said)) => {
            shown.len() == said.len()
                && shown.iter().all(|(key, value)| said.get(key).is_some_and(|it| alike(value, it)))
        }
        (Value::Array(shown), Value::Array(said)) => {
            shown.len() == said.len() && shown.iter().zip(said).all(|(a, b)| alike(a, b))
        }
        (Value::String(_), Value::String(_)) | (Value::Number(_), Value::Number(_)) => true,
        (shown, said) => shown == said,
    }
}

#[test]
fn every_command_of_the_documents_runs_and_says_what_they_show() {
    let kept = tempfile::tempdir().unwrap();
    let server = Server::start(&kept.path().join("state"));
    for (name, not_run) in DOCUMENTS {
        let blocks = blocks(&std::fs::read_to_string(folder().join(name)).unwrap());
        let with = |info: &str| blocks.iter().filter(|block| block.info == info).count();
        assert_eq!(with("sh not-run"), not_run, "{name}");
        assert!(with("sh") > 0, "{name} has no command");
        let (mut script, mut shown) = (String::new(), Vec::new());
        for (index, block) in blocks.iter().enumerate().filter(|(_, block)| block.info == "sh") {
            script.push_str(&format!("{}\necho '{BETWEEN}'\n", block.text));
            let next = blocks.get(index + 1).filter(|next| next.info == "json");
            shown.push((block, next));
        }
        let said = server.run(name, &script);
        let replies: Vec<&str> = said.split(BETWEEN).collect();
        for ((block, json), reply) in shown.into_iter().zip(replies) {
            let Some(json) = json else { continue };
            let json: Value = serde_json::from_str(&json.text).unwrap();
            let last = reply.trim().lines().last().unwrap_or_default();
            let reply: Value = serde_json::from_str(last)
                .unwrap_or_else(|error| panic!("{name}: {}{reply}: {error}", block.text));
            assert!(alike(&json, &reply), "{name}: {}shows {json}, says {reply}", block.text);
        }
    }
}

#[test]
fn every_document_is_listed_and_every_link_leads_somewhere() {
    let mut found: Vec<String> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let mut listed: Vec<&str> = DOCUMENTS.iter().map(|(name, _)| *name).collect();
    found.sort();
    listed.sort_unstable();
    assert_eq!(found, listed);
    for name in found {
        let text = std::fs::read_to_string(folder().join(&name)).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = link.split('#').next().unwrap();
            let there = link.starts_with("https://") || folder().join(path).exists();
            assert!(there, "{name}: {link} leads nowhere");
        }
    }
}
