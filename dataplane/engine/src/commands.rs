//! PATH control: one command of the control plane changes the tables, completely or not at all.

use std::time::Instant;

use common::command::{Command, PeerFacts, PublishFacts, SubscribeFacts};
use common::event::CloseReason;
use common::id::{CoreId, TrackId};

use crate::host::Host;
use crate::kit::table::FeedName;
use crate::publish::Track;
use crate::subscribe::Subscription;
use crate::tables::Tables;
use crate::transport::{Channels, Downlink, ReceiveBound};

/// Applies `command`.
pub(crate) fn apply(tables: &mut Tables, command: Command, now: Instant, host: &mut impl Host) {
    // Each of these answers None when it names something unknown: then nothing was changed.
    let _applied: Option<()> = match command {
        Command::SetPeer(facts) => set_peer(tables, &facts, now, host),
        Command::ClosePeer { peer } => tables
            .peers
            .place(peer)
            .map(|place| tables.close(place, CloseReason::Requested, now, host)),
        Command::Publish(facts) => publish(tables, &facts, now, host),
        Command::Unpublish { track } => {
            tables.tracks.place(track).map(|place| tables.remove_track(place))
        }
        Command::Subscribe(facts) => subscribe(tables, &facts, now, host),
        Command::Unsubscribe { subscription } => {
            tables.subscriptions.place(subscription).map(|place| tables.remove_subscription(place))
        }
        Command::Reach { track, core, wanted } => reach(tables, track, core, wanted),
        Command::PublishChannel(facts) => tables.publish_channel(&facts, host),
        Command::UnpublishChannel { channel } => tables.unpublish_channel(channel, host),
        Command::SubscribeChannel(facts) => tables.subscribe_channel(&facts, now, host),
        Command::UnsubscribeChannel { subscription } => {
            tables.unsubscribe_channel(subscription, host)
        }
        Command::ReachChannel { channel, core, wanted } => {
            tables.reach_channel(channel, core, wanted)
        }
    };
    tables.gauge();
}

fn set_peer(
    tables: &mut Tables,
    facts: &PeerFacts,
    now: Instant,
    host: &mut impl Host,
) -> Option<()> {
    let place = tables.peers.place(facts.peer)?;
    let peers = tables.peers.len();
    let peer = tables.peers.at_mut(place)?;
    peer.establish.promise(facts.fingerprint);
    peer.dtls_role = facts.dtls_role;
    peer.initiate(now);
    let numbered = peer.downlink.is_some();
    if !facts.transport_feedback {
        peer.downlink = None;
    } else if !numbered {
        peer.downlink = Some(Box::new(Downlink::new(now)));
        // Room for all, so that no packet makes the list grow.
        tables.paced.reserve(peers);
    }
    // What carried a transport-wide number must not be sent again without one.
    if peer.extensions != facts.extensions || numbered != facts.transport_feedback {
        peer.extensions = facts.extensions;
        for subscription in &peer.subscriptions {
            tables.subscriptions.at_mut(*subscription).map(Subscription::rename);
        }
    }
    if let Some(facts) = &facts.sctp {
        let peer = tables.peers.at_mut(place)?;
        peer.channels.get_or_insert_with(|| Box::new(Channels::new(facts))).sctp.update(facts);
        tables.start_channels(place, now);
    }
    tables.drive(place, None, now, host);
    Some(())
}

fn publish(
    tables: &mut Tables,
    facts: &PublishFacts,
    now: Instant,
    host: &mut impl Host,
) -> Option<()> {
    let peer = tables.peers.place(facts.peer)?;
    if facts.encodings.is_empty() || facts.encodings.len() > common::limits::ENCODINGS_MAX {
        return None;
    }
    if facts.payloads.iter().any(|payload| payload.remb) {
        let peer = tables.peers.at_mut(peer)?;
        peer.bound.get_or_insert_with(|| ReceiveBound::new(now));
    }
    if let Some(stale) = tables.tracks.holder(facts.track) {
        let place = tables.tracks.place(stale)?;
        let track = tables.tracks.at_mut(place)?;
        if stale == facts.track && track.peer == peer && track.update(facts) {
            return Some(());
        }
        tables.remove_track(place);
    }
    let epoch = tables.next_epoch();
    let place = tables.tracks.insert(facts.track, Track::new(facts, peer, epoch, now))?;
    tables.peers.at_mut(peer)?.tracks.push(place);
    // So that no packet ever has to grow the list.
    tables.gapped.reserve(tables.tracks.len());
    let feed = tables.feed(facts.track, facts.kind, tables.core)?;
    tables.feeds.at_mut(feed)?.published = true;
    let waiting = tables.feeds.at(feed)?.subscriptions.iter().any(|subscription| {
        tables.subscriptions.at(*subscription).is_some_and(|found| found.waits_for(now).is_some())
    });
    if waiting {
        tables.want_key_frame(feed, 0, now, host);
    }
    Some(())
}

fn subscribe(
    tables: &mut Tables,
    facts: &SubscribeFacts,
    now: Instant,
    host: &mut impl Host,
) -> Option<()> {
    let peer = tables.peers.place(facts.peer)?;
    if let Some(stale) = tables.subscriptions.holder(facts.subscription) {
        let place = tables.subscriptions.place(stale)?;
        // Another transport or another SSRC is another stream: its numbers start anew.
        let kept = tables.subscriptions.at(place)?;
        let same_stream = kept.peer == peer && kept.ssrc == facts.ssrc;
        if stale != facts.subscription || !same_stream {
            tables.remove_subscription(place);
        }
    }
    let feed = tables.feed(facts.track, facts.kind, facts.track_core)?;
    match tables.subscriptions.place(facts.subscription) {
        Some(place) => {
            let subscription = tables.subscriptions.at_mut(place)?;
            let before = subscription.feed;
            subscription.update(facts, feed, now);
            if before != feed {
                tables.feeds.at_mut(feed)?.subscriptions.push(place);
                if let Some(left) = tables.feeds.at_mut(before) {
                    left.leave(place);
                }
                tables.drop_idle_feed(before);
            }
        }
        None => {
            let random = tables.random.next_u64();
            let subscription = Subscription::new(facts, peer, feed, random, now);
            let place = tables.subscriptions.insert(facts.subscription, subscription)?;
            tables.peers.at_mut(peer)?.subscriptions.push(place);
            tables.feeds.at_mut(feed)?.subscriptions.push(place);
        }
    }
    tables.allocate(peer, now, host);
    let connected = tables.peers.at(peer)?.sealing().is_some();
    let place = tables.subscriptions.place(facts.subscription)?;
    let waits_for = tables.subscriptions.at(place)?.waits_for(now);
    if let (true, Some(encoding)) = (connected, waits_for) {
        tables.want_key_frame(feed, encoding, now, host);
    }
    Some(())
}

fn reach(tables: &mut Tables, track: TrackId, core: CoreId, wanted: bool) -> Option<()> {
    if core == tables.core {
        return None;
    }
    let feed = tables.feeds.place(FeedName(track))?;
    tables.feeds.at_mut(feed)?.reach(core, wanted);
    tables.drop_idle_feed(feed);
    Some(())
}
