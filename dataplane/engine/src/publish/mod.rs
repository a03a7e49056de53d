//! Stage 3: published tracks of this core's peers. What is received of each encoding, and what is
//! asked of its publisher: key frames, lost packets.

mod keyframe;
mod loss;
mod reception;
mod round_trip;
mod speech;
mod track;

pub(crate) use loss::{Due, Filled, GAPS_MAX};
pub(crate) use reception::Tally;
pub(crate) use round_trip::{reference_time, round_trip_of};
pub(crate) use speech::Voice;
pub(crate) use track::{Arrival, Track};
