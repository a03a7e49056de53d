//! Simulated runs: several cores and remote peers in one thread under a virtual clock. One seed is
//! one run; a seed that found a bug stays in its table for ever.
#![allow(clippy::unwrap_used)]

mod bandwidth;
mod channels;
mod chaos;
mod close;
mod connect;
mod forward;
mod hostile;
mod loss;
mod moves;
mod quality;
mod repeat;
mod simulcast;

use std::time::Duration;

use common::media::MediaKind;
use tests::sim::{Join, Sim, SimConfig};
use tests::source::Shape;

/// One publisher of video and audio, `viewers` who watch both.
pub(crate) struct Call {
    pub(crate) sim: Sim,
    pub(crate) publisher: usize,
    pub(crate) video: usize,
    pub(crate) audio: usize,
    pub(crate) viewers: Vec<usize>,
    /// Subscription numbers: (video, audio) of each viewer.
    pub(crate) watched: Vec<(usize, usize)>,
}

impl Call {
    pub(crate) fn new(config: SimConfig, publisher: Join, viewers: &[Join], rtx: bool) -> Self {
        let mut sim = Sim::new(config);
        let first = sim.join(publisher);
        let video = sim.publish(first, MediaKind::Video, Shape::CAMERA);
        let audio = sim.publish(first, MediaKind::Audio, Shape::MICROPHONE);
        let mut call =
            Self { sim, publisher: first, video, audio, viewers: Vec::new(), watched: Vec::new() };
        for viewer in viewers {
            call.add_viewer(*viewer, rtx);
        }
        call
    }

    /// The usual call: clean links, three viewers with RTX.
    pub(crate) fn clean(seed: u64, cores: usize) -> Self {
        let viewers = [Join::subscriber(); 3];
        Self::new(SimConfig::new(seed, cores), Join::publisher(), &viewers, true)
    }

    pub(crate) fn add_viewer(&mut self, join: Join, rtx: bool) -> usize {
        let viewer = self.sim.join(join);
        let video = self.sim.subscribe(viewer, self.video, MediaKind::Video, rtx);
        let audio = self.sim.subscribe(viewer, self.audio, MediaKind::Audio, false);
        self.viewers.push(viewer);
        self.watched.push((video, audio));
        self.viewers.len() - 1
    }

    pub(crate) fn connect(&mut self) {
        assert!(self.sim.run_until_connected(seconds(20)), "{:?}", self.sim.events);
    }
}

pub(crate) const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
