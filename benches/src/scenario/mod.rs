//! The scenarios: who joins, what is sent, what is measured. Each starts a server of its own, runs to
//! its end and returns figures. `forward` holds the two broadcasts and the conference (with `trace`,
//! a window of trace points), `capacity` saturation and overload, `churn` joins per second, `idle`
//! memory. Called by `run`.

pub(crate) mod capacity;
pub(crate) mod churn;
pub(crate) mod forward;
pub(crate) mod idle;
pub(crate) mod trace;

use crate::Outcome;
use crate::report::figures::Figures;
use crate::subject::{Kind, Setup};
use churn::Churn;
use forward::{AUDIO, BOTH, Load, VIDEO};

/// One scenario of a run with everything that gives it its size.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Scenario {
    Forward(Load),
    Churn(Churn),
    Idle { sessions: usize, seconds: f64 },
    Capacity { start: usize, end: usize, seconds: f64 },
}

impl Scenario {
    /// Runs it; `traced` adds a window of trace points where the scenario has one.
    pub(crate) fn run(&self, kind: Kind, setup: &Setup, traced: bool) -> Outcome<Figures> {
        match self {
            Self::Forward(load) => forward::run(kind, setup, load, traced),
            Self::Churn(churn) => churn::run(kind, setup, churn),
            Self::Idle { sessions, seconds } => idle::run(kind, setup, *sessions, *seconds),
            Self::Capacity { start, end, seconds } => {
                capacity::run(kind, setup, *start..*end, *seconds)
            }
        }
    }
}

/// The scenarios of a full run by name, with windows of so many seconds.
pub(crate) fn full(seconds: f64) -> Vec<(&'static str, Scenario)> {
    let warm_up = 2.0;
    let broadcast = Load {
        media: VIDEO,
        rooms: 1,
        publishers: 1,
        subscribers: 200,
        sample: 16,
        seconds,
        warm_up,
    };
    // Of sound every fourth packet, so that percentiles have something to stand on.
    let audio = Load { media: AUDIO, sample: 4, ..broadcast };
    let rooms = |rooms| Load { media: BOTH, rooms, publishers: 10, subscribers: 10, ..broadcast };
    vec![
        ("broadcast-video", Scenario::Forward(broadcast)),
        ("broadcast-audio", Scenario::Forward(audio)),
        ("conference-5x10", Scenario::Forward(rooms(5))),
        ("conference-10x10", Scenario::Forward(rooms(10))),
        ("churn-50", Scenario::Churn(Churn { rate: 50.0, seconds, stay: 2.0 })),
        ("churn-1000", Scenario::Churn(Churn { rate: 1_000.0, seconds, stay: 2.0 })),
        ("idle", Scenario::Idle { sessions: 300, seconds: 5.0 }),
        ("saturation", Scenario::Capacity { start: 300, end: 4_000, seconds: 3.0 }),
    ]
}

/// The same, as small as they can be and still prove that they work.
pub(crate) fn smoke() -> Vec<(&'static str, Scenario)> {
    let small = |load: Load| Load { sample: 1, seconds: 0.3, warm_up: 0.3, ..load };
    full(0.5)
        .into_iter()
        .filter(|(name, _)| !["conference-10x10", "churn-1000"].contains(name))
        .map(|(name, scenario)| match scenario {
            Scenario::Forward(load) if load.publishers > 1 => (
                name,
                Scenario::Forward(small(Load { rooms: 1, publishers: 3, subscribers: 3, ..load })),
            ),
            Scenario::Forward(load) => {
                (name, Scenario::Forward(small(Load { subscribers: 4, ..load })))
            }
            Scenario::Churn(_) => {
                (name, Scenario::Churn(Churn { rate: 10.0, seconds: 0.3, stay: 1.0 }))
            }
            Scenario::Idle { .. } => (name, Scenario::Idle { sessions: 4, seconds: 0.2 }),
            Scenario::Capacity { .. } => {
                (name, Scenario::Capacity { start: 2, end: 3, seconds: 0.3 })
            }
        })
        .collect()
}
