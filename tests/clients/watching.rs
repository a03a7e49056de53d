//! What a client should see, and whether it does: every watched section names the sender whose mark
//! must be in it. Called by the tests.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::stack::Stack;

/// Longest time until marks are right, or gone. Firefox starts small and low; machines are busy.
const SEEN_MAX: Duration = Duration::from_secs(30);

/// Between two looks; longer than the quarter of a second of sound that a client listens to.
const LOOK_EVERY: Duration = Duration::from_millis(400);

/// Oldest picture that is fresh, and what a clock read in tenths of a second may lack.
const AGE_MS: std::ops::Range<i64> = -300..2_000;

/// What the sections of a client should carry, by mid: a sender's number, or nothing more.
#[derive(Clone, Default, Debug)]
pub(crate) struct Watching(BTreeMap<String, Option<u64>>);

impl Watching {
    /// Says what sections carry from now on.
    pub(crate) fn expect(&mut self, mids: &[String], sender: Option<u64>) {
        self.0.extend(mids.iter().map(|mid| (mid.clone(), sender)));
    }

    /// Waits until every section carries in two looks running what it should.
    pub(crate) fn check(&self, stack: &dyn Stack) -> Result<(), String> {
        let start = Instant::now();
        let mut right = 0;
        // What came before belongs to the time before.
        stack.call("seen", &[])?;
        loop {
            std::thread::sleep(LOOK_EVERY);
            let seen = stack.call("seen", &[])?;
            let wrong: Vec<String> = self.0.iter().filter_map(|one| wrong(one, &seen)).collect();
            right = if wrong.is_empty() { right + 1 } else { 0 };
            if right == 2 {
                return Ok(());
            }
            if start.elapsed() > SEEN_MAX {
                return Err(wrong.join(", "));
            }
        }
    }
}

/// What is wrong with a section.
fn wrong((mid, sender): (&String, &Option<u64>), seen: &Value) -> Option<String> {
    let report = &seen[mid];
    let right = match (report["kind"].as_str(), sender) {
        (Some("video"), Some(sender)) => {
            let mark = &report["mark"];
            let fresh = mark["ageMs"].as_i64().is_some_and(|age| AGE_MS.contains(&age));
            mark["sender"] == *sender && fresh
        }
        (Some("audio"), Some(sender)) => {
            // marks.py: 40 Hz from sender to sender.
            let hertz = report["hertz"].as_f64().unwrap_or_default();
            (hertz - 400.0 - 40.0 * *sender as f64).abs() < 15.0
        }
        (Some("video"), None) => report["frames"] == 0,
        (Some("audio"), None) => report["hertz"] == 0,
        (_, sender) => sender.is_none(),
    };
    let should = sender.map_or("nothing".to_owned(), |sender| format!("sender {sender}"));
    (!right).then(|| format!("section {mid} should carry {should} and has {report}"))
}

/// The strings of a JSON array.
pub(crate) fn strings(value: &Value) -> Vec<String> {
    let items = value.as_array().into_iter().flatten();
    items.filter_map(Value::as_str).map(str::to_owned).collect()
}
