//! Forwarding at a given load: one publisher with N subscribers, or rooms in which everybody
//! publishes and hears all others over a second connection, as conferencing clients do.

use std::sync::Arc;
use std::time::Duration;

use ::tests::source::Shape;

use super::trace;
use crate::Outcome;
use crate::client::publisher::Media;
use crate::generator::Generator;
use crate::report::figures::Figures;
use crate::subject::{Kind, Setup};

/// A camera without a microphone.
pub(crate) const VIDEO: Media = Media { video: Some(Shape::FULL_CAMERA), audio: None };
/// A microphone without a camera.
pub(crate) const AUDIO: Media = Media { video: None, audio: Some(Shape::MICROPHONE) };
/// Both.
pub(crate) const BOTH: Media =
    Media { video: Some(Shape::FULL_CAMERA), audio: Some(Shape::MICROPHONE) };

/// The load of one measurement.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) media: Media,
    pub(crate) rooms: usize,
    /// Publishers of a room.
    pub(crate) publishers: usize,
    /// Subscribers of a room. As many as publishers: each hears all but itself.
    pub(crate) subscribers: usize,
    /// One packet in this many of each stream is decrypted and checked.
    pub(crate) sample: u64,
    pub(crate) seconds: f64,
    /// Media flows this long before anything is counted: key frames, estimates, warm caches.
    pub(crate) warm_up: f64,
}

impl Load {
    /// How many hear one publisher.
    pub(crate) fn hearers(&self) -> u64 {
        let all = self.wishes().iter().map(|(_, of)| of.len()).sum::<usize>();
        (all / (self.rooms * self.publishers).max(1)) as u64
    }

    /// Who hears whom: a room and publishers for each subscriber.
    pub(crate) fn wishes(&self) -> Vec<(usize, Arc<[usize]>)> {
        let each = self.publishers;
        let conference = self.publishers == self.subscribers && self.publishers > 1;
        let wish = |number: usize| {
            let (room, place) = (number / self.subscribers, number % self.subscribers);
            let of = (0..each).filter(|publisher| !conference || *publisher != place);
            (room, of.map(|publisher| room * each + publisher).collect())
        };
        (0..self.rooms * self.subscribers).map(wish).collect()
    }
}

/// Runs a load; with `traced` a window more for the kernel's trace points.
pub(crate) fn run(kind: Kind, setup: &Setup, load: &Load, traced: bool) -> Outcome<Figures> {
    let mut generator = connect(kind, setup, load)?;
    let window = generator.measure(Duration::from_secs_f64(load.seconds))?;
    let mut figures = Figures::of(&window, load);
    if traced {
        let pid = generator.subject.pid();
        trace::run(pid, &mut figures, || generator.turn())?;
    }
    figures.about = generator.about();
    let connected = generator.present().filter_map(|one| one.connected).collect();
    figures.times(["connected_ms_p50", "connected_ms_p99"], connected);
    let heard = generator.present().filter_map(|one| one.heard).collect();
    figures.times(["first_media_ms_p50", "first_media_ms_p99"], heard);
    Ok(figures)
}

/// A server with everybody connected and the media flowing.
pub(super) fn connect(kind: Kind, setup: &Setup, load: &Load) -> Outcome<Generator> {
    let mut generator = Generator::start(kind, setup, load.media, load.sample)?;
    generator.publish(load.rooms, load.publishers)?;
    generator.play();
    generator.join_all(load.publishers, load.wishes())?;
    generator.run_for(Duration::from_secs_f64(load.warm_up))?;
    Ok(generator)
}
