//! Whether the publisher's clock, as the server's sender reports tell it to a viewer, is the clock
//! of what the viewer sees. Called by `layers`.
//!
//! The browser's own figures (`estimatedPlayoutTimestamp`) cannot show a wrong sender report: it
//! synchronises by the same report. So the picture carries a number (client.js), and the time that
//! the browser believes the shown picture to be from is held against the time it was painted.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::pages::{Page, Published};

/// How long one measurement takes.
const WINDOW: Duration = Duration::from_secs(2);

/// Clock rate of every video payload format.
const VIDEO_TICKS_PER_MS: f64 = 90.0;

/// Fewest looks that make a measurement.
const ROWS_MIN: usize = 8;

/// Where the two clocks of a picture stand, in milliseconds: both zeros are arbitrary, but stay for
/// a publisher and a viewer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    /// How much later than painted the pictures shown are said to be captured: the median.
    pub(crate) captured: f64,
    /// How far their RTP timestamps are ahead of the time they were painted: the median.
    pub(crate) stamped: f64,
}

impl Clock {
    /// Looks for a while; None when the browser knows no clock of the publisher yet.
    pub(crate) fn read(
        publisher: &Page,
        published: &Published,
        page: &Page,
        session: &Value,
    ) -> Option<Self> {
        let rows = page.call("clockRows", &[session.clone(), json!(WINDOW.as_millis() as u64)]);
        let painted = publisher.call("paintTimes", &[published.0["session"].clone()]);
        let times: HashMap<i64, f64> = pairs(&painted).collect();
        let clocks = rows.as_array().unwrap().iter().filter_map(|row| {
            let paint = times.get(&row[0].as_i64()?)?;
            let [stamp, shown, looked, captured] = [1, 2, 3, 4].map(|at| row[at].as_f64());
            // The browser says what would be shown at the moment of the look.
            let captured = captured? - (paint + looked? - shown?);
            Some((captured, stamp? / VIDEO_TICKS_PER_MS - paint))
        });
        let (captured, stamped): (Vec<_>, Vec<_>) = clocks.unzip();
        let enough = captured.len() >= ROWS_MIN;
        enough.then(|| Self { captured: median(captured), stamped: median(stamped) })
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn pairs(list: &Value) -> impl Iterator<Item = (i64, f64)> {
    let rows = list.as_array().unwrap().iter();
    rows.filter_map(|row| Some((row[0].as_i64()?, row[1].as_f64()?)))
}
