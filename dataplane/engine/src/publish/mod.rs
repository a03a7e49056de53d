//! Stage 3: published tracks of this core's peers. What is received of each encoding, and what is
//! asked of its publisher: key frames, lost packets.

mod keyframe;
mod loss;
mod reception;
mod track;

pub(crate) use track::{Arrival, Track};
