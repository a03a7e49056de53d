//! Messages of data channels: from the association they came on to those they leave on, here or on
//! another core, and the service of associations that have something to do.

use std::time::{Duration, Instant};

use bytes::Bytes;
use common::event::{ChannelCloseReason, Event};
use common::id::ChannelId;
use proto::sctp::{Message, SctpOutput, SendError};

use super::Tables;
use crate::host::{FrameHeader, Host};
use crate::kit::table::{ChannelPlace, ChannelSubscriptionPlace, PeerPlace};
use crate::transport::End;

/// Least time to the next service of an association: of one that has more to do, or found no send
/// slot free.
const PAUSE: Duration = Duration::from_millis(1);
/// Deliveries that one association may cause at a time; then others have their turn, and what it sent
/// more waits in it, which narrows the window it is told. Chosen: some 3 ms.
const DELIVERIES_AT_ONCE: u64 = 2_048;
/// Packets that are given to DTLS before it is asked for their datagrams; it keeps 10 at most.
const PACKETS_AT_ONCE: usize = 8;

impl Tables {
    /// Takes an SCTP packet of a peer; [`Tables::serve_channels`] acts on it.
    pub(crate) fn on_sctp(&mut self, place: PeerPlace, packet: &[u8], now: Instant) {
        let peer = self.peers.at_mut(place);
        let channels = peer.and_then(|peer| peer.channels.as_mut());
        if channels.is_none_or(|channels| !channels.sctp.on_packet(packet, now)) {
            self.counters.sctp_rejected += 1;
        }
        // A refusal may have ended the association.
        self.list_channels(place);
    }

    /// Has an association served at the end of this call.
    pub(crate) fn list_channels(&mut self, place: PeerPlace) {
        let peer = self.peers.at_mut(place);
        let Some(channels) = peer.and_then(|peer| peer.channels.as_mut()) else { return };
        if !std::mem::replace(&mut channels.listed, true) {
            self.channels_due.push(place);
        }
    }

    /// Fires the timers of associations that are due.
    pub(crate) fn on_channel_timers(&mut self, now: Instant) {
        while let Some((at, place)) = self.channel_timers.first().copied().filter(|it| it.0 <= now)
        {
            self.channel_timers.remove(&(at, place));
            let Some(peer) = self.peers.at_mut(place) else { continue };
            let Some(channels) = peer.channels.as_mut() else { continue };
            channels.armed = None;
            self.serving = Some(peer.id);
            channels.sctp.on_deadline(now);
            self.serving = None;
            self.list_channels(place);
        }
    }

    /// Serves every association that has something to do: takes what arrived, sends what is due.
    /// Called at the end of each call into the shard; what one message makes others send, leaves
    /// with it.
    pub(crate) fn serve_channels(&mut self, now: Instant, host: &mut impl Host) {
        if self.channels_due.is_empty() {
            return;
        }
        let mut next = 0;
        while let Some(place) = self.channels_due.get(next).copied() {
            next += 1;
            let Some(peer) = self.peers.at_mut(place) else { continue };
            let Some(channels) = peer.channels.as_mut() else { continue };
            channels.listed = false;
            self.serving = Some(peer.id);
            let more = self.take_outputs(place, host);
            self.send_packets(place, more, now, host);
        }
        self.serving = None;
        self.channels_due.clear();
    }

    /// A message of a channel from the publisher's core.
    pub(crate) fn on_channel_frame(
        &mut self,
        channel: ChannelId,
        text: bool,
        bytes: &[u8],
        host: &mut impl Host,
    ) {
        let Some(place) = self.channels.place(channel) else { return };
        let message = Message { text, bytes: Bytes::copy_from_slice(bytes) };
        self.deliver_all(place, &message, host);
    }

    /// Messages of a channel were lost on their way from the publisher's core: reliable
    /// subscriptions end rather than go on with a gap.
    pub(crate) fn on_channel_gap(&mut self, channel: ChannelId, host: &mut impl Host) {
        let Some(found) = self.channels.place(channel).and_then(|it| self.channels.at(it)) else {
            return;
        };
        let flows = |place: &ChannelSubscriptionPlace| {
            let found = self.channel_subscriptions.at(*place);
            found.is_some_and(|found| found.is_reliable() && !found.is_held())
        };
        let torn: Vec<_> = found.subscriptions.iter().copied().filter(flows).collect();
        for place in torn {
            self.close_channel_subscription(place, ChannelCloseReason::Overflow, host);
        }
    }

    /// A reply of a subscriber on another core.
    pub(crate) fn on_channel_reply(&mut self, channel: ChannelId, text: bool, bytes: &[u8]) {
        let Some(place) = self.channels.place(channel) else { return };
        self.reply_here(place, &Message { text, bytes: Bytes::copy_from_slice(bytes) });
    }

    /// Sends what a subscription's messages waited for, as far as it is ready.
    pub(crate) fn release_held(&mut self, place: ChannelSubscriptionPlace, host: &mut impl Host) {
        while let Some(subscription) = self.channel_subscriptions.at_mut(place) {
            if subscription.is_held() {
                return;
            }
            let Some(message) = subscription.next_held() else { return };
            self.deliver(place, &message, host);
        }
    }

    /// Acts on what an association has to say. Returns whether it has more.
    fn take_outputs(&mut self, place: PeerPlace, host: &mut impl Host) -> bool {
        let delivered = |tables: &Self| {
            tables.counters.channel_out.wrapping_add(tables.counters.channel_dropped)
        };
        let before = delivered(self);
        while delivered(self).wrapping_sub(before) < DELIVERIES_AT_ONCE {
            let Some(peer) = self.peers.at_mut(place) else { return false };
            let Some(channels) = peer.channels.as_mut() else { return false };
            let Some(output) = channels.sctp.poll() else { return false };
            let id = peer.id;
            match output {
                SctpOutput::Connected => {
                    host.event(Event::SctpConnected { peer: id });
                    self.open_streams(place, host);
                }
                SctpOutput::Lost => {
                    channels.lost = true;
                    channels.ends.retain(|_, end| *end != End::Closing);
                    host.event(Event::SctpClosed { peer: id });
                }
                SctpOutput::Message { stream, message } => {
                    self.on_message(place, stream, &message, host);
                }
                SctpOutput::Reset { stream } => self.on_stream_reset(place, stream, host),
                SctpOutput::Freed { stream } => self.on_stream_freed(place, stream, host),
            }
        }
        true
    }

    fn on_message(
        &mut self,
        peer: PeerPlace,
        stream: u16,
        message: &Message,
        host: &mut impl Host,
    ) {
        let found = self.peers.at(peer).and_then(|peer| peer.channels.as_ref());
        match found.and_then(|channels| channels.ends.get(&stream).copied()) {
            Some(End::Publication(channel)) => self.spread(channel, message, host),
            Some(End::Subscription(subscription)) => {
                self.on_subscriber_message(subscription, message, host);
            }
            Some(End::Closing) | None => self.counters.channel_dropped += 1,
        }
    }

    /// A message of a publisher: to the subscribers of this core and to the other cores.
    fn spread(&mut self, place: ChannelPlace, message: &Message, host: &mut impl Host) {
        self.counters.channel_in += 1;
        let Some(channel) = self.channels.at_mut(place) else { return };
        let id = channel.id;
        for core in channel.cores.iter() {
            let header = FrameHeader::ChannelMessage { channel: id, text: message.text };
            if self.crossing.push(core, header, &message.bytes, host) {
                channel.torn.set(core, false);
            } else {
                self.counters.channel_dropped += 1;
                if !channel.torn.contains(core) {
                    channel.torn.set(core, true);
                    self.crossing.mark(core, FrameHeader::ChannelGap { channel: id });
                }
            }
        }
        self.deliver_all(place, message, host);
    }

    fn deliver_all(&mut self, place: ChannelPlace, message: &Message, host: &mut impl Host) {
        let mut next = 0;
        while let Some(subscription) =
            self.channels.at(place).and_then(|channel| channel.subscriptions.get(next).copied())
        {
            self.deliver(subscription, message, host);
            // One that ended left the list, and another took its place.
            let channel = self.channels.at(place);
            let stays = channel.and_then(|it| it.subscriptions.get(next)) == Some(&subscription);
            next += usize::from(stays);
        }
    }

    /// Gives a message to one subscriber, or keeps it, or drops it.
    fn deliver(
        &mut self,
        place: ChannelSubscriptionPlace,
        message: &Message,
        host: &mut impl Host,
    ) {
        let Some(subscription) = self.channel_subscriptions.at_mut(place) else { return };
        let Some(peer) = self.peers.at_mut(subscription.peer) else { return };
        let Some(channels) = peer.channels.as_mut() else { return };
        if channels.lost {
            self.counters.channel_dropped += 1 + subscription.forget_held();
            return;
        }
        if subscription.is_held() {
            self.counters.channel_dropped += subscription.hold(message.clone());
            return;
        }
        let served = self.serving.replace(peer.id);
        let sent = channels.sctp.send(subscription.stream, message);
        self.serving = served;
        match sent {
            Ok(()) => {
                self.counters.channel_out += 1;
                let peer = subscription.peer;
                self.list_channels(peer);
            }
            Err(error) => {
                self.counters.channel_dropped += 1;
                if error == SendError::Full && subscription.is_reliable() {
                    self.close_channel_subscription(place, ChannelCloseReason::Overflow, host);
                }
            }
        }
    }

    fn on_subscriber_message(
        &mut self,
        place: ChannelSubscriptionPlace,
        message: &Message,
        host: &mut impl Host,
    ) {
        let Some(subscription) = self.channel_subscriptions.at_mut(place) else { return };
        if subscription.acknowledge_by.take().is_some() {
            return self.release_held(place, host);
        }
        let Some(channel) = self.channels.at(subscription.channel) else { return };
        if !subscription.can_reply {
            self.counters.channel_dropped += 1;
        } else if channel.home == self.core {
            let channel = subscription.channel;
            self.reply_here(channel, message);
        } else {
            let header = FrameHeader::ChannelReply { channel: channel.id, text: message.text };
            if !self.crossing.push(channel.home, header, &message.bytes, host) {
                self.counters.channel_dropped += 1;
                if subscription.is_reliable() {
                    self.close_channel_subscription(place, ChannelCloseReason::Overflow, host);
                }
            }
        }
    }

    /// Gives a reply to the publisher of a channel, which is at home here.
    fn reply_here(&mut self, place: ChannelPlace, message: &Message) {
        let publication = self.channels.at(place).and_then(|channel| channel.publication);
        let Some(publication) = publication else { return };
        let Some(peer) = self.peers.at_mut(publication.peer) else { return };
        let Some(channels) = peer.channels.as_mut() else { return };
        let served = self.serving.replace(peer.id);
        let sent = channels.sctp.send(publication.stream, message);
        self.serving = served;
        match sent {
            Ok(()) => {
                self.counters.channel_out += 1;
                self.list_channels(publication.peer);
            }
            Err(_) => self.counters.channel_dropped += 1,
        }
    }

    /// Sends the packets of an association that want to be sent, and sets its timer: a soon one when
    /// there is `more` to do.
    fn send_packets(&mut self, place: PeerPlace, more: bool, now: Instant, host: &mut impl Host) {
        let mut stalled = false;
        loop {
            // Before a packet is taken, so that none is lost for want of a slot.
            stalled |= host.reserve().is_none();
            let Some(peer) = self.peers.at_mut(place) else { return };
            let Some(channels) = peer.channels.as_mut() else { return };
            if stalled || !peer.establish.is_connected() {
                break;
            }
            let mut taken = 0;
            while taken < PACKETS_AT_ONCE {
                let Some(packet) = channels.sctp.poll_packet(now) else { break };
                taken += 1;
                if let Err(reason) = peer.establish.send(&packet, now) {
                    return self.close(place, reason, now, host);
                }
            }
            if taken > 0 {
                self.drive(place, None, now, host);
            }
            if taken < PACKETS_AT_ONCE {
                break;
            }
        }
        self.arm_channels(place, more || stalled, now);
    }

    /// Lists the association among the timers, unless it is listed for an earlier instant: then it
    /// is asked again.
    fn arm_channels(&mut self, place: PeerPlace, soon: bool, now: Instant) {
        let Some(peer) = self.peers.at_mut(place) else { return };
        let Some(channels) = peer.channels.as_mut() else { return };
        let due = if soon { Some(now) } else { channels.sctp.next_deadline() };
        let Some(due) = due.map(|due| due.max(now + PAUSE)) else { return };
        if channels.armed.is_some_and(|armed| armed <= due) {
            return;
        }
        if let Some(armed) = channels.armed.replace(due) {
            self.channel_timers.remove(&(armed, place));
        }
        self.channel_timers.insert((due, place));
    }
}
