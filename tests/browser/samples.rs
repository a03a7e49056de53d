//! What a viewer saw, ten times a second (sampler.js), and the questions that tests of media
//! quality ask of it. Called by `lossy`, `layers` and `svc`.

use std::time::Duration;

use serde_json::{Value, json};

use crate::pages::{Page, until};

/// A stretch that is good by chance is shorter.
const SETTLED: Duration = Duration::from_secs(2);

/// Rows in the order of time.
pub(crate) struct Samples(Vec<Value>);

/// A stretch of time without a new picture, in milliseconds of the page's clock.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Stall {
    /// First look at the last picture.
    pub(crate) from: f64,
    /// Last look that found no newer one.
    pub(crate) to: f64,
}

impl Stall {
    /// How long it lasted at least.
    pub(crate) fn millis(self) -> f64 {
        self.to - self.from
    }
}

impl Samples {
    /// Begins to look at a session.
    pub(crate) fn begin(page: &Page, session: &Value) {
        page.call("sample", std::slice::from_ref(session));
    }

    /// What was seen since the last call.
    pub(crate) fn take(page: &Page, session: &Value) -> Self {
        let rows = page.call("samples", std::slice::from_ref(session));
        Self(rows.as_array().unwrap().clone())
    }

    /// Waits until [`SETTLED`] of what was seen is `good`, beginning that much from now; returns
    /// everything seen since the last call.
    pub(crate) fn settle(
        page: &Page,
        session: &Value,
        limit: Duration,
        good: impl Fn(&Self) -> bool,
    ) -> Self {
        std::thread::sleep(SETTLED);
        let mut all = Self::take(page, session);
        until("what is seen settles", limit, || {
            std::thread::sleep(SETTLED);
            let seen = Self::take(page, session);
            let good = good(&seen);
            all.0.extend(seen.0);
            good.then_some(())
        });
        all
    }

    /// A figure of every row that has it, with the time of the row.
    pub(crate) fn series(&self, kind: &str, field: &str) -> Vec<(f64, f64)> {
        let pair = |row: &Value| Some((row["at"].as_f64()?, row[kind][field].as_f64()?));
        self.0.iter().filter_map(pair).collect()
    }

    /// The newest value of a figure; 0 when there is none.
    pub(crate) fn last(&self, kind: &str, field: &str) -> f64 {
        self.series(kind, field).last().map_or(0.0, |&(_, value)| value)
    }

    /// By how much a figure grew.
    pub(crate) fn growth(&self, kind: &str, field: &str) -> f64 {
        let series = self.series(kind, field);
        series.first().map_or(0.0, |&(_, first)| self.last(kind, field) - first)
    }

    /// The same, a second.
    pub(crate) fn rate(&self, kind: &str, field: &str) -> f64 {
        let times: Vec<f64> = self.series(kind, field).iter().map(|&(at, _)| at).collect();
        let span = times.last().unwrap_or(&0.0) - times.first().unwrap_or(&0.0);
        self.growth(kind, field) * 1000.0 / span.max(1.0)
    }

    /// Milliseconds from the first look to the first that finds a figure `good`; exact to the interval
    /// of looks. None when none does.
    pub(crate) fn until(&self, kind: &str, field: &str, good: impl Fn(f64) -> bool) -> Option<f64> {
        let series = self.series(kind, field);
        let &(found, _) = series.iter().find(|&&(_, value)| good(value))?;
        series.first().map(|&(first, _)| found - first)
    }

    /// The longest time in which no picture was decoded. Only looks that were taken count: a page
    /// that was not scheduled has seen nothing.
    pub(crate) fn longest_stall(&self) -> Stall {
        let mut longest = Stall { from: 0.0, to: 0.0 };
        let mut current = longest;
        let mut frames = -1.0;
        for (at, now) in self.series("video", "frames") {
            if now > frames {
                frames = now;
                current.from = at;
            }
            current.to = at;
            if current.millis() > longest.millis() {
                longest = current;
            }
        }
        longest
    }

    /// When the receiver counted a freeze.
    pub(crate) fn freezes(&self) -> Vec<f64> {
        let series = self.series("video", "freezes");
        series.windows(2).filter(|pair| pair[1].1 > pair[0].1).map(|pair| pair[1].0).collect()
    }

    /// The percentile of how far sound and picture are apart, in milliseconds: both are known by
    /// the publisher's clock. None when the browser does not say.
    pub(crate) fn offset_percentile(&self, percent: usize) -> Option<f64> {
        let offset = |row: &Value| {
            let [audio, video] = ["audio", "video"].map(|kind| row[kind]["playout"].as_f64());
            Some((audio? - video?).abs())
        };
        let mut offsets: Vec<f64> = self.0.iter().filter_map(offset).collect();
        offsets.sort_by(f64::total_cmp);
        let last = offsets.len().saturating_sub(1);
        offsets.get(last * percent / 100).copied()
    }
}

#[test]
fn stalls_are_what_two_looks_saw() {
    let row = |at: u32, frames: u32| json!({ "at": at, "video": { "frames": frames } });
    let rows = vec![row(0, 1), row(100, 4), row(200, 4), row(300, 4), row(900, 5), row(1000, 9)];
    assert_eq!(Samples(rows).longest_stall(), Stall { from: 100.0, to: 300.0 });
}
