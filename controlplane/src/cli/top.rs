//! `fanfall top`: what the cores and sessions of the running server do, second by second. Rates are
//! differences of two looks at `/metrics` and at the list of sessions; the server is asked for
//! nothing else.

use std::collections::{BTreeMap, HashMap};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use super::client::Client;
use super::sessions::{Live, list};
use super::{CliError, print, row, table};
use crate::config::Config;

/// Between two looks.
const PERIOD: Duration = Duration::from_secs(1);
/// Sessions shown: those that are sent most. Chosen: a small terminal has 24 lines.
const SESSIONS_SHOWN: usize = 12;
/// Moves to the corner and clears what is below (ECMA-48, CUP and ED).
const CLEAR: &str = "\x1b[H\x1b[J";

/// Shows a table a second until the process is ended; one with `once`.
pub(super) fn run(config: &Config, once: bool) -> Result<(), CliError> {
    let client = Client::new(config)?;
    let mut before = Look::take(&client)?;
    let clear = if std::io::stdout().is_terminal() && !once { CLEAR } else { "" };
    loop {
        std::thread::sleep(PERIOD);
        let now = Look::take(&client)?;
        print(&format!("{clear}{}", now.since(&before)))?;
        if once {
            return Ok(());
        }
        before = now;
    }
}

/// Counters and gauges by core, each under its name without the prefix and suffix.
type Cores = BTreeMap<u32, HashMap<String, f64>>;

/// One look at the server.
struct Look {
    at: Instant,
    cores: Cores,
    /// None without a token.
    sessions: Option<Vec<Live>>,
}

impl Look {
    fn take(client: &Client) -> Result<Self, CliError> {
        let cores = cores(&client.text("/metrics")?);
        let sessions = client.has_token().then(|| list(client)).transpose()?;
        Ok(Self { at: Instant::now(), cores, sessions })
    }

    /// The tables of what happened since an earlier look.
    fn since(&self, before: &Look) -> String {
        let seconds = self.at.duration_since(before.at).as_secs_f64().max(1e-3);
        let mut rows = vec![row![
            "CORE",
            "IN/S",
            "OUT/S",
            "MBIT/S IN",
            "MBIT/S OUT",
            "DROPS/S",
            "PEERS",
            "TRACKS",
            "SUBSCRIPTIONS"
        ]];
        let rates = ["datagrams_in", "datagrams_out", "bytes_in", "bytes_out", "drops"];
        let gauges = ["peers", "tracks", "subscriptions"];
        let mut sum = [0.0; 8];
        for (core, values) in &self.cores {
            let known = before.cores.get(core);
            let of = |values: &HashMap<String, f64>, name| values.get(name).copied().unwrap_or(0.0);
            let rate = |name| {
                let was = known.map_or(0.0, |values| of(values, name));
                (of(values, name) - was).max(0.0) / seconds
            };
            let figures = rates.map(rate).into_iter().chain(gauges.map(|name| of(values, name)));
            let figures: Vec<f64> = figures.collect();
            sum.iter_mut().zip(&figures).for_each(|(sum, figure)| *sum += figure);
            rows.push(core_row(&core.to_string(), &figures));
        }
        rows.push(core_row("all", &sum));
        let sessions = self.sessions.as_ref().zip(before.sessions.as_ref());
        let sessions = sessions.map(|(now, was)| sessions_table(now, was, seconds));
        format!("{}\n{}", table(&rows), sessions.unwrap_or_default())
    }
}

/// Figures in the order of the table's head.
fn core_row(name: &str, figures: &[f64]) -> Vec<String> {
    let mut row = row![name];
    row.extend(figures.iter().enumerate().map(|(column, figure)| match column {
        2 | 3 => format!("{:.1}", figure * 8.0 / 1e6),
        _ => format!("{figure:.0}"),
    }));
    row
}

fn sessions_table(now: &[Live], before: &[Live], seconds: f64) -> String {
    let was: HashMap<&str, &Live> = before.iter().map(|live| (live.id.as_str(), live)).collect();
    let rate = |live: &Live, bytes: fn(&Live) -> u64| {
        let earlier = was.get(live.id.as_str()).map_or(0, |earlier| bytes(earlier));
        bytes(live).saturating_sub(earlier) as f64 * 8.0 / 1e3 / seconds
    };
    let mut order: Vec<&Live> = now.iter().collect();
    order.sort_by_key(|live| std::cmp::Reverse(live.egress + live.ingress));
    let mut rows =
        vec![row!["SESSION", "APP", "CORE", "TRACKS", "KBIT/S IN", "KBIT/S OUT", "IDENTIFIER"]];
    rows.extend(order.into_iter().take(SESSIONS_SHOWN).map(|live| {
        row![
            live.id,
            live.app,
            live.core.map_or("-".to_owned(), |core| core.to_string()),
            live.tracks,
            format!("{:.0}", rate(live, |live| live.ingress)),
            format!("{:.0}", rate(live, |live| live.egress)),
            live.identifier
        ]
    }));
    let connected = now.iter().filter(|live| live.connected).count();
    let tracks: u64 = now.iter().map(|live| live.tracks).sum();
    let head = format!("{} sessions, {connected} connected, {tracks} tracks", now.len());
    format!("{head}\n{}", table(&rows))
}

/// The samples of `/metrics` that have a core; what has more labels is summed.
fn cores(text: &str) -> Cores {
    let mut cores = Cores::new();
    for line in text.lines() {
        let Some((name, core, value)) = sample(line) else { continue };
        *cores.entry(core).or_default().entry(name.to_owned()).or_default() += value;
    }
    cores
}

/// Name, core and value of a line such as `fanfall_drops_total{core="0",reason="x"} 5`.
fn sample(line: &str) -> Option<(&str, u32, f64)> {
    let (name, rest) = line.strip_prefix("fanfall_")?.split_once("{core=\"")?;
    let (core, rest) = rest.split_once('"')?;
    let (_, value) = rest.rsplit_once(' ')?;
    let name = name.strip_suffix("_total").unwrap_or(name);
    Some((name, core.parse().ok()?, value.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_read_by_core_and_summed_over_other_labels() {
        let text = "# HELP fanfall_drops Datagrams\nfanfall_drops_total{core=\"1\",reason=\"a b\"} 2\n\
                    fanfall_drops_total{core=\"1\",reason=\"c\"} 3\nfanfall_peers{core=\"0\"} 4\n\
                    fanfall_sessions 9\nfanfall_peers{core=\"x\"} 1\n";
        let cores = cores(text);
        assert_eq!(cores.len(), 2);
        assert_eq!((cores[&1]["drops"], cores[&0]["peers"]), (5.0, 4.0));
    }

    #[test]
    fn rates_are_what_was_added_in_the_time_between() {
        let at = Instant::now();
        let look = |at, bytes: f64| {
            let values = [("bytes_out", bytes), ("peers", 3.0)];
            let values = values.map(|(name, value)| (name.to_owned(), value));
            Look { at, cores: Cores::from([(0, HashMap::from(values))]), sessions: None }
        };
        let text = look(at + 2 * PERIOD, 1e6).since(&look(at, 0.0));
        let line = text.lines().find(|line| line.trim().starts_with('0'));
        let cells: Vec<&str> = line.unwrap_or_default().split_whitespace().collect();
        assert_eq!(cells, ["0", "0", "0", "0.0", "4.0", "0", "3", "0", "0"]);
    }
}
