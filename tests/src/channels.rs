//! Data channels of a remote peer, by the same foreign stack as the rest of it.

use std::time::Instant;

use common::command::{Reliability as Wanted, ReliabilityLimit, SctpFacts};
use str0m::Event;
use str0m::channel::{ChannelConfig, ChannelId, Reliability};

use crate::peer::Peer;
use crate::sim::Sim;

/// A message as it reached the application.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Arrived {
    /// When.
    pub at: Instant,
    /// SCTP stream.
    pub stream: u16,
    /// Whether it is a string.
    pub text: bool,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// What a peer saw of its data channels.
#[derive(Default, Debug)]
pub struct Seen {
    channels: Vec<(u16, ChannelId)>,
    /// Messages in the order they came.
    pub messages: Vec<Arrived>,
    /// Streams and labels of channels that are open.
    pub opened: Vec<(Option<u16>, String)>,
    /// Streams whose channel was closed.
    pub closed: Vec<Option<u16>>,
}

impl Sim {
    /// Says that a peer negotiated SCTP.
    pub fn negotiate_sctp(&mut self, client: usize, facts: SctpFacts) {
        self.control.negotiate_sctp(client, facts);
        self.push_commands();
    }
}

impl Peer {
    /// Starts the association once DTLS is up; the side that is `client` sends the INIT.
    pub fn start_sctp(&mut self, client: bool, now: Instant) {
        self.rtc.direct_api().start_sctp(client);
        self.on_deadline(now);
    }

    /// Makes a channel that was negotiated outside the association (`negotiated: true`).
    pub fn open_channel(&mut self, stream: u16, wanted: Wanted, now: Instant) {
        self.make_channel(Some(stream), "", wanted);
        self.on_deadline(now);
    }

    /// Makes a channel in band (RFC 8832).
    pub fn announce_channel(&mut self, label: &str, wanted: Wanted, now: Instant) {
        self.make_channel(None, label, wanted);
        self.on_deadline(now);
    }

    fn make_channel(&mut self, negotiated: Option<u16>, label: &str, wanted: Wanted) {
        let reliability = match wanted.limit {
            ReliabilityLimit::Never => Reliability::Reliable,
            ReliabilityLimit::Retransmits(retransmits) => {
                Reliability::MaxRetransmits { retransmits }
            }
            ReliabilityLimit::Lifetime(lifetime) => Reliability::MaxPacketLifetime { lifetime },
        };
        let config = ChannelConfig {
            label: label.to_owned(),
            ordered: wanted.ordered,
            reliability,
            negotiated,
            protocol: String::new(),
        };
        let id = self.rtc.direct_api().create_data_channel(config);
        if let Some(stream) = negotiated {
            self.seen.channels.retain(|(known, _)| *known != stream);
            self.seen.channels.push((stream, id));
        }
    }

    /// Sends a message; false when the stack does not take it now.
    pub fn send_message(&mut self, stream: u16, text: bool, bytes: &[u8], now: Instant) -> bool {
        let known = self.seen.channels.iter().find(|(known, _)| *known == stream);
        let Some(&(_, id)) = known else { return false };
        let Some(mut channel) = self.rtc.channel(id) else { return false };
        let taken = channel.write(!text, bytes).unwrap_or(false);
        self.on_deadline(now);
        taken
    }

    /// Closes a channel.
    pub fn close_channel(&mut self, stream: u16, now: Instant) {
        let known = self.seen.channels.iter().find(|(known, _)| *known == stream);
        if let Some(&(_, id)) = known {
            self.rtc.direct_api().close_data_channel(id);
            self.on_deadline(now);
        }
    }

    /// Messages that came on a stream, as bytes.
    pub fn messages_on(&self, stream: u16) -> Vec<&[u8]> {
        let here = self.seen.messages.iter().filter(|message| message.stream == stream);
        here.map(|message| &message.bytes[..]).collect()
    }

    pub(crate) fn on_channel_event(&mut self, event: Event, now: Instant) {
        match event {
            Event::ChannelOpen(id, label) => {
                let stream = self.rtc.direct_api().sctp_stream_id_by_channel_id(id);
                if let Some(stream) = stream
                    && !self.seen.channels.contains(&(stream, id))
                {
                    self.seen.channels.push((stream, id));
                }
                self.seen.opened.push((stream, label));
            }
            Event::ChannelData(data) => {
                let Some(stream) = self.stream_of(data.id) else { return };
                let (text, bytes) = (!data.binary, data.data);
                self.seen.messages.push(Arrived { at: now, stream, text, bytes });
            }
            Event::ChannelClose(id) => {
                let stream = self.stream_of(id);
                self.seen.closed.push(stream);
            }
            _ => {}
        }
    }

    fn stream_of(&self, id: ChannelId) -> Option<u16> {
        self.seen.channels.iter().find(|(_, known)| *known == id).map(|(stream, _)| *stream)
    }
}
