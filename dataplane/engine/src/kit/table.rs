//! A dense table of objects that the control plane named. The name carries a generation; the table
//! gives each object a small local [`Place`] for hot paths and refuses stale names.

use std::marker::PhantomData;

use common::id::{ChannelId, ChannelSubscriptionId, PeerId, SubscriptionId, TrackId};

/// A name the control plane gave: an index and a generation.
pub trait Name: Copy + PartialEq {
    /// The index part: small, dense, reused.
    fn index(self) -> usize;
}

macro_rules! name {
    ($($id:ty),*) => { $(impl Name for $id {
        fn index(self) -> usize { self.index as usize }
    })* };
}
name!(PeerId, TrackId, SubscriptionId, ChannelId, ChannelSubscriptionId);

/// Names the feed of a track on this core: the same numbers as the track's, another table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FeedName(pub TrackId);

impl Name for FeedName {
    fn index(self) -> usize {
        self.0.index()
    }
}

/// Place of a peer.
pub type PeerPlace = Place<PeerId>;
/// Place of a published track.
pub type TrackPlace = Place<TrackId>;
/// Place of a subscription.
pub type SubscriptionPlace = Place<SubscriptionId>;
/// Place of a feed.
pub type FeedPlace = Place<FeedName>;
/// Place of a data channel.
pub type ChannelPlace = Place<ChannelId>;
/// Place of a subscription of a data channel.
pub type ChannelSubscriptionPlace = Place<ChannelSubscriptionId>;

/// Position of an object within the table of objects named by `N`. Valid until the object is
/// removed; whoever keeps one must be told of the removal.
pub struct Place<N>(u32, PhantomData<fn() -> N>);

impl<N> Clone for Place<N> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<N> Copy for Place<N> {}
impl<N> PartialEq for Place<N> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}
impl<N> Eq for Place<N> {}
impl<N> PartialOrd for Place<N> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<N> Ord for Place<N> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}
impl<N> std::fmt::Debug for Place<N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "#{}", self.0)
    }
}

impl<N> Place<N> {
    /// The position as a number, for spreading periodic work.
    pub fn number(self) -> u32 {
        self.0
    }
}

/// Objects by name and by place.
pub struct Table<N, T> {
    /// Place plus one by name index; 0 where there is none.
    by_index: Vec<u32>,
    objects: Vec<Option<(N, T)>>,
    free: Vec<u32>,
}

impl<N: Name, T> Default for Table<N, T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<N: Name, T> Table<N, T> {
    /// An empty table. Grows when objects are added (control path), never otherwise.
    pub fn new() -> Self {
        Self { by_index: Vec::new(), objects: Vec::new(), free: Vec::new() }
    }

    /// Number of objects.
    pub fn len(&self) -> usize {
        self.objects.len() - self.free.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds `object` under `name`. An object with the same index must have been removed before:
    /// returns None, and adds nothing, when one is there.
    pub fn insert(&mut self, name: N, object: T) -> Option<Place<N>> {
        if self.by_index.len() <= name.index() {
            self.by_index.resize(name.index() + 1, 0);
        }
        if self.by_index[name.index()] != 0 {
            return None;
        }
        let place = match self.free.pop() {
            Some(place) => place,
            None => {
                self.objects.push(None);
                (self.objects.len() - 1) as u32
            }
        };
        self.objects[place as usize] = Some((name, object));
        self.by_index[name.index()] = place + 1;
        Some(Place(place, PhantomData))
    }

    /// Where the object named `name` is; None for a stale or unknown name.
    pub fn place(&self, name: N) -> Option<Place<N>> {
        let place = self.by_index.get(name.index())?.checked_sub(1)?;
        let (found, _) = self.objects.get(place as usize)?.as_ref()?;
        (*found == name).then_some(Place(place, PhantomData))
    }

    /// The name that holds the index of `name` now, in whatever generation.
    pub fn holder(&self, name: N) -> Option<N> {
        let place = self.by_index.get(name.index())?.checked_sub(1)?;
        self.objects.get(place as usize)?.as_ref().map(|(found, _)| *found)
    }

    /// The object at `place`.
    pub fn at(&self, place: Place<N>) -> Option<&T> {
        self.objects.get(place.0 as usize)?.as_ref().map(|(_, object)| object)
    }

    /// The object at `place`, to be changed.
    pub fn at_mut(&mut self, place: Place<N>) -> Option<&mut T> {
        self.objects.get_mut(place.0 as usize)?.as_mut().map(|(_, object)| object)
    }

    /// Takes its name from the object at `place`: a newer one may have the index. It stays at its
    /// place until it is removed.
    pub fn retire(&mut self, place: Place<N>) {
        if let Some(Some((name, _))) = self.objects.get(place.0 as usize) {
            self.unname(*name, place);
        }
    }

    fn unname(&mut self, name: N, place: Place<N>) {
        if let Some(named) = self.by_index.get_mut(name.index()).filter(|p| **p == place.0 + 1) {
            *named = 0;
        }
    }

    /// Takes the object at `place` out.
    pub fn remove(&mut self, place: Place<N>) -> Option<T> {
        let (name, object) = self.objects.get_mut(place.0 as usize)?.take()?;
        self.unname(name, place);
        self.free.push(place.0);
        Some(object)
    }

    /// The first occupied place at or after number `from`, for walks that change the table.
    pub fn next_place(&self, from: u32) -> Option<Place<N>> {
        let rest = self.objects.get(from as usize..)?;
        let skipped = rest.iter().position(Option::is_some)?;
        Some(Place(from + skipped as u32, PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn a_stale_name_resolves_to_nothing() {
        let mut table = Table::new();
        let old = TrackId::new(7, 0);
        let place = table.insert(old, "old").expect("free");
        assert_eq!(table.insert(TrackId::new(7, 1), "newer"), None, "index is taken");
        assert_eq!(table.remove(place), Some("old"));
        assert_eq!(table.place(old), None);
        let place = table.insert(TrackId::new(7, 1), "newer").expect("free again");
        assert_eq!(table.place(old), None);
        assert_eq!(table.at(place), Some(&"newer"));
        assert_eq!(table.len(), 1);
    }

    #[test]
    fn a_retired_object_stays_at_its_place_beside_its_successor() {
        let mut table = Table::new();
        let (old, new) = (TrackId::new(3, 0), TrackId::new(3, 1));
        let before = table.insert(old, "old").expect("free");
        table.retire(before);
        assert_eq!(table.place(old), None);
        let after = table.insert(new, "new").expect("the index is free");
        assert_eq!((table.at(before), table.at(after)), (Some(&"old"), Some(&"new")));
        table.retire(before);
        assert_eq!(table.remove(before), Some("old"));
        assert_eq!(table.place(new), Some(after), "its successor keeps the name");
        assert_eq!(table.len(), 1);
    }

    #[test]
    fn a_walk_meets_every_object_once() {
        let mut table = Table::new();
        for index in 0..5 {
            table.insert(TrackId::new(index, 0), index);
        }
        let third = table.place(TrackId::new(2, 0)).expect("there");
        table.remove(third);
        let (mut at, mut met) = (0, Vec::new());
        while let Some(place) = table.next_place(at) {
            met.extend(table.at(place).copied());
            at = place.number() + 1;
        }
        assert_eq!(met, [0, 1, 3, 4]);
    }
}
