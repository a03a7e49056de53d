//! A subscriber that follows the two rules of `payload::facts`, and a decoder that checks that it
//! gets the references of every frame it gets.

use std::collections::HashSet;

use proto::payload::facts::{FrameFacts, Target};

#[derive(Default)]
pub(crate) struct Subscriber {
    pub(crate) shows: Option<Target>,
    sent: HashSet<u16>,
}

impl Subscriber {
    /// Whether the frame `number` is sent to who shows a target and wishes for `wish`.
    ///
    /// # Panics
    /// When the frame is sent and one of `references` was not.
    pub(crate) fn takes(
        &mut self,
        wish: Target,
        facts: &FrameFacts,
        number: u16,
        references: &[u16],
    ) -> bool {
        if self.shows != Some(wish) && facts.allows(self.shows, wish) {
            self.shows = Some(wish);
        }
        let Some(shows) = self.shows else { return false };
        if !facts.indications.includes(shows) {
            return false;
        }
        for reference in references {
            assert!(self.sent.contains(reference), "{number} of {shows:?} lacks {reference}");
        }
        self.sent.insert(number)
    }
}
