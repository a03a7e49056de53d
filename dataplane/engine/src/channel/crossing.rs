//! Channel messages on their way to other cores. They go straight into the lane; where that is full
//! they wait here, in order and bounded, for a message of a reliable channel is not lost to a burst.

use std::collections::VecDeque;

use bytes::Bytes;
use common::id::CoreId;
use common::limits::{CHANNEL_CROSSING_MAX, CHANNEL_MESSAGE_COST};

use crate::host::{FrameHeader, Host};

/// What waits for room in the lanes.
#[derive(Default)]
pub(crate) struct Crossing {
    lanes: Vec<Lane>,
}

struct Lane {
    core: CoreId,
    waiting: VecDeque<(FrameHeader, Bytes)>,
    weight: usize,
}

impl Crossing {
    /// Sends a frame to a core, or lets it wait. False when it was dropped: then as much waits as
    /// may.
    pub(crate) fn push(
        &mut self,
        core: CoreId,
        header: FrameHeader,
        bytes: &Bytes,
        host: &mut impl Host,
    ) -> bool {
        let Some(lane) = self.lanes.iter_mut().find(|lane| lane.core == core) else {
            if !host.hand(core, header, bytes) {
                self.wait(core, header, bytes);
            }
            return true;
        };
        if lane.weight + weight(bytes) > CHANNEL_CROSSING_MAX {
            return false;
        }
        self.wait(core, header, bytes);
        true
    }

    /// Lets a frame without bytes wait behind the others, whatever waits.
    pub(crate) fn mark(&mut self, core: CoreId, header: FrameHeader) {
        self.wait(core, header, &Bytes::new());
    }

    /// Sends what has room now.
    pub(crate) fn flush(&mut self, host: &mut impl Host) {
        for lane in &mut self.lanes {
            while let Some((header, bytes)) = lane.waiting.front() {
                if !host.hand(lane.core, *header, bytes) {
                    break;
                }
                lane.weight -= weight(bytes);
                lane.waiting.pop_front();
            }
        }
        self.lanes.retain(|lane| !lane.waiting.is_empty());
    }

    fn wait(&mut self, core: CoreId, header: FrameHeader, bytes: &Bytes) {
        let found = self.lanes.iter().position(|lane| lane.core == core);
        let index = found.unwrap_or_else(|| {
            self.lanes.push(Lane { core, waiting: VecDeque::new(), weight: 0 });
            self.lanes.len() - 1
        });
        if let Some(lane) = self.lanes.get_mut(index) {
            lane.weight += weight(bytes);
            lane.waiting.push_back((header, bytes.clone()));
        }
    }
}

fn weight(bytes: &Bytes) -> usize {
    bytes.len() + CHANNEL_MESSAGE_COST
}
