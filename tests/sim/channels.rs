//! Data channels: one publisher, many subscribers, on one core and across cores, over good and bad
//! links; replies, acknowledgements, closing, and those who do not read.

use common::command::{
    ChannelFacts, ChannelSubscriptionFacts, Command, Reliability, ReliabilityLimit, SctpFacts,
};
use common::event::{ChannelCloseReason, Event};
use common::id::{ChannelId, ChannelSubscriptionId};
use tests::link::LinkConfig;
use tests::sim::{Join, Sim, SimConfig};

use crate::{millis, seconds};

const RELIABLE: Reliability = Reliability { ordered: true, limit: ReliabilityLimit::Never };
/// Stream of the publisher's end, and of every subscriber's.
const UP: u16 = 2;
const DOWN: u16 = 5;

/// One publisher of one channel and its subscribers.
struct Fan {
    sim: Sim,
    channel: ChannelId,
    reliability: Reliability,
    publisher: usize,
    subscribers: Vec<usize>,
}

impl Fan {
    /// Joins all and lets their associations come up.
    fn new(config: SimConfig, reliability: Reliability, joins: &[Join]) -> Self {
        let mut sim = Sim::new(config);
        let peers: Vec<usize> = joins.iter().map(|join| sim.join(join.with_channels())).collect();
        let up = |sim: &Sim| {
            let up = sim.events.iter().filter(|(_, it)| matches!(it, Event::SctpConnected { .. }));
            up.count() == joins.len()
        };
        assert!(sim.run_until(seconds(20), up), "{:?}", sim.events);
        let channel = ChannelId::new(7, 1);
        let (publisher, subscribers) = (peers[0], peers[1..].to_vec());
        Self { sim, channel, reliability, publisher, subscribers }
    }

    /// The same, and everybody subscribed.
    fn open(config: SimConfig, reliability: Reliability, joins: &[Join]) -> Self {
        let mut fan = Self::new(config, reliability, joins);
        fan.publish();
        for number in 0..fan.subscribers.len() {
            fan.subscribe(number, false, false);
        }
        fan.sim.run_for(millis(200));
        fan
    }

    fn publish(&mut self) {
        let facts = ChannelFacts {
            channel: self.channel,
            peer: self.sim.peer_id(self.publisher),
            stream: UP,
            reliability: self.reliability,
        };
        let home = self.sim.home(self.publisher).unwrap();
        self.sim.command(home, Command::PublishChannel(facts));
        let wanted = self.reliability;
        self.sim.act(self.publisher, |peer, now| peer.open_channel(UP, wanted, now));
    }

    fn subscribe(&mut self, number: usize, wait_for_ack: bool, can_reply: bool) {
        let subscriber = self.subscribers[number];
        let channel_core = self.sim.home(self.publisher).unwrap();
        let core = self.sim.home(subscriber).unwrap();
        let facts = ChannelSubscriptionFacts {
            subscription: self.id(number),
            peer: self.sim.peer_id(subscriber),
            channel: self.channel,
            channel_core,
            stream: DOWN,
            reliability: self.reliability,
            wait_for_ack,
            can_reply,
        };
        self.sim.command(core, Command::SubscribeChannel(facts));
        if core != channel_core {
            let reach = Command::ReachChannel { channel: self.channel, core, wanted: true };
            self.sim.command(channel_core, reach);
        }
        let wanted = self.reliability;
        self.sim.act(subscriber, |peer, now| peer.open_channel(DOWN, wanted, now));
    }

    fn id(&self, number: usize) -> ChannelSubscriptionId {
        ChannelSubscriptionId::new(number as u32, 1)
    }

    fn send(&mut self, bytes: &[u8]) -> bool {
        self.sim.act(self.publisher, |peer, now| peer.send_message(UP, false, bytes, now))
    }

    /// Sends `count` numbered messages of `len` bytes, one every 10 ms.
    fn stream(&mut self, count: u32, len: usize) {
        for number in 0..count {
            let mut message = vec![0; len];
            message[..4].copy_from_slice(&number.to_be_bytes());
            assert!(self.send(&message), "message {number}");
            self.sim.run_for(millis(10));
        }
    }

    /// The numbers of the messages that a subscriber got.
    fn got(&self, number: usize) -> Vec<u32> {
        let messages = self.sim.peer(self.subscribers[number]).messages_on(DOWN);
        let number = |bytes: &&[u8]| u32::from_be_bytes(bytes[..4].try_into().unwrap());
        messages.iter().map(number).collect()
    }

    fn closings(&self) -> Vec<ChannelCloseReason> {
        let closing = |event: &Event| match event {
            Event::ChannelSubscriptionClosed { reason, .. } => Some(*reason),
            _ => None,
        };
        self.sim.events.iter().filter_map(|(_, event)| closing(event)).collect()
    }
}

#[test]
fn messages_reach_all_subscribers_in_order_on_one_core_and_on_three() {
    for cores in [1, 3] {
        let joins = [Join::subscriber(); 5];
        let mut fan = Fan::open(SimConfig::new(7, cores), RELIABLE, &joins);
        fan.stream(50, 900);
        fan.sim.run_for(seconds(1));
        for number in 0..4 {
            assert_eq!(fan.got(number), (0..50).collect::<Vec<_>>(), "{cores} cores");
        }
        assert_eq!(fan.sim.sum(|c| c.channel_in), 50);
        assert_eq!(fan.sim.sum(|c| c.channel_out), 200);
        assert_eq!(fan.sim.sum(|c| c.channel_dropped + c.sctp_rejected), 0);
        assert_eq!(fan.sim.sum(|c| c.channels), 1);
        assert_eq!(fan.sim.sum(|c| c.channel_subscriptions), 4);
        fan.sim.check();
    }
}

#[test]
fn a_message_waits_for_nothing_but_the_path() {
    let mut fan = Fan::open(SimConfig::new(3, 1), RELIABLE, &[Join::subscriber(); 2]);
    let sent = fan.sim.instant();
    assert!(fan.send(b"1234"));
    fan.sim.run_for(millis(300));
    let arrived = fan.sim.peer(fan.subscribers[0]).seen.messages[0].at;
    // Two one-way delays of 10 ms: no tick is waited for.
    let took = arrived.duration_since(sent);
    assert!(took >= millis(20) && took <= millis(21), "{took:?}");
}

#[test]
fn nothing_is_lost_on_links_that_lose_a_twentieth() {
    for seed in 0..3 {
        let joins = [Join::subscriber().on(LinkConfig::default().with_loss(0.05)); 4];
        let mut fan = Fan::open(SimConfig::new(seed, 2), RELIABLE, &joins);
        fan.sim.run_for(seconds(2));
        fan.stream(200, 1_000);
        fan.sim.run_for(seconds(20));
        for number in 0..3 {
            assert_eq!(fan.got(number), (0..200).collect::<Vec<_>>(), "seed {seed}");
        }
        assert!(fan.closings().is_empty());
        fan.sim.check();
    }
}

#[test]
fn unreliable_messages_are_given_up_and_the_rest_flows() {
    for limit in [ReliabilityLimit::Retransmits(0), ReliabilityLimit::Lifetime(100)] {
        let unreliable = Reliability { ordered: false, limit };
        let lossy = Join::subscriber().on(LinkConfig::default().with_loss(0.1));
        let joins = [Join::subscriber(), lossy, Join::subscriber()];
        let mut fan = Fan::open(SimConfig::new(5, 1), unreliable, &joins);
        fan.stream(300, 500);
        fan.sim.run_for(seconds(5));
        let got = fan.got(0).len();
        assert!((220..300).contains(&got), "{limit:?}: {got}");
        assert_eq!(fan.got(1).len(), 300, "the clean link loses nothing");
        fan.sim.check();
    }
}

#[test]
fn text_stays_text_and_large_messages_stay_whole() {
    let mut fan = Fan::open(SimConfig::new(9, 2), RELIABLE, &[Join::subscriber(); 3]);
    let large: Vec<u8> = (0..60_000u32).map(|at| at as u8).collect();
    fan.sim.act(fan.publisher, |peer, now| {
        assert!(peer.send_message(UP, true, "žluťoučký".as_bytes(), now));
        assert!(peer.send_message(UP, false, &large, now));
    });
    fan.sim.run_for(seconds(5));
    for subscriber in &fan.subscribers {
        let messages = &fan.sim.peer(*subscriber).seen.messages;
        assert_eq!(messages.len(), 2);
        assert!(messages[0].text && !messages[1].text);
        assert_eq!(messages[0].bytes, "žluťoučký".as_bytes());
        assert_eq!(messages[1].bytes, large);
    }
}

#[test]
fn an_awaited_message_is_swallowed_and_what_waited_follows() {
    let mut fan = Fan::new(SimConfig::new(4, 2), RELIABLE, &[Join::subscriber(); 3]);
    fan.publish();
    fan.subscribe(0, true, false);
    fan.subscribe(1, true, false);
    fan.sim.run_for(millis(200));
    fan.stream(5, 100);
    assert_eq!(fan.got(0), [0u32; 0]);
    let subscriber = fan.subscribers[0];
    fan.sim.act(subscriber, |peer, now| peer.send_message(DOWN, true, b"ack", now));
    fan.sim.run_for(millis(500));
    fan.stream(2, 100);
    fan.sim.run_for(millis(500));
    assert_eq!(fan.got(0), [0, 1, 2, 3, 4, 0, 1]);
    // The other one says nothing: its channel ends.
    fan.sim.run_for(seconds(30));
    assert_eq!(fan.closings(), [ChannelCloseReason::Unacknowledged]);
    assert_eq!(fan.sim.peer(fan.subscribers[1]).seen.closed, [Some(DOWN)]);
    assert!(fan.sim.peer(fan.publisher).messages_on(UP).is_empty());
}

#[test]
fn only_the_holder_of_the_grant_reaches_the_publisher() {
    for cores in [1, 3] {
        let mut fan = Fan::new(SimConfig::new(2, cores), RELIABLE, &[Join::subscriber(); 3]);
        fan.publish();
        fan.subscribe(0, false, true);
        fan.subscribe(1, false, false);
        fan.sim.run_for(millis(200));
        for (number, text) in [b"from 0", b"from 1"].iter().enumerate() {
            let subscriber = fan.subscribers[number];
            let send = |peer: &mut tests::peer::Peer, now| {
                assert!(peer.send_message(DOWN, true, *text, now));
            };
            fan.sim.act(subscriber, send);
        }
        fan.sim.run_for(millis(500));
        assert_eq!(fan.sim.peer(fan.publisher).messages_on(UP), [b"from 0"]);
        assert_eq!(fan.sim.sum(|c| c.channel_dropped), 1);
    }
}

#[test]
fn closing_on_either_side_closes_the_other_and_frees_the_stream() {
    let mut fan = Fan::open(SimConfig::new(6, 1), RELIABLE, &[Join::subscriber(); 3]);
    fan.stream(3, 50);
    // A subscriber leaves.
    let (first, second, publisher) = (fan.subscribers[0], fan.subscribers[1], fan.publisher);
    fan.sim.act(first, |peer, now| peer.close_channel(DOWN, now));
    fan.sim.run_for(seconds(1));
    assert_eq!(fan.closings(), [ChannelCloseReason::Reset]);
    let freed = |fan: &Fan, peer: usize, stream: u16| {
        let event = Event::StreamFreed { peer: fan.sim.peer_id(peer), stream };
        fan.sim.events.iter().filter(|(_, it)| *it == event).count()
    };
    assert_eq!(freed(&fan, first, DOWN), 1);
    // The control plane ends another.
    let (core, subscription) = (fan.sim.home(second).unwrap(), fan.id(1));
    fan.sim.command(core, Command::UnsubscribeChannel { subscription });
    fan.sim.run_for(seconds(1));
    assert_eq!(fan.sim.peer(second).seen.closed, [Some(DOWN)]);
    assert_eq!(freed(&fan, second, DOWN), 1);
    // The stream can be used again.
    fan.subscribe(1, false, false);
    fan.sim.run_for(millis(200));
    fan.stream(2, 50);
    fan.sim.run_for(millis(500));
    assert_eq!(fan.got(1), [0, 1, 2, 0, 1]);
    // The publisher closes.
    fan.sim.act(publisher, |peer, now| peer.close_channel(UP, now));
    fan.sim.run_for(seconds(1));
    let closed = Event::ChannelClosed { channel: fan.channel };
    assert!(fan.sim.events.iter().any(|(_, event)| *event == closed));
    assert_eq!(freed(&fan, publisher, UP), 1);
    assert_eq!(fan.sim.sum(|c| c.channels), 0);
    assert_eq!(fan.closings().len(), 1);
    fan.sim.check();
}

#[test]
fn channels_opened_in_band_are_answered_and_ours_is_offered_where_wanted() {
    let mut sim = Sim::new(SimConfig::new(8, 1));
    let plain = sim.join(Join::subscriber().with_channels());
    let facts = SctpFacts { port: 5_000, max_message_size: 0, server_events: true };
    let offered = sim.join(Join { sctp: Some(facts), ..Join::subscriber() });
    sim.act(plain, |peer, now| peer.announce_channel("server-events", RELIABLE, now));
    sim.run_for(seconds(3));
    let opened = |peer: usize| sim.peer(peer).seen.opened.clone();
    assert!(matches!(&opened(plain)[..], [(Some(_), label)] if label == "server-events"));
    assert_eq!(opened(offered), [(Some(0), "server-events".to_owned())]);
    sim.check();
}

#[test]
fn a_peer_that_waits_for_our_init_gets_it() {
    let mut sim = Sim::new(SimConfig::new(8, 1));
    let peer = sim.join(Join::subscriber());
    let id = sim.peer_id(peer);
    assert!(sim.run_until_connected(seconds(5)));
    sim.run_for(millis(100));
    sim.act(peer, |peer, now| peer.start_sctp(false, now));
    let facts = SctpFacts { port: 5_000, max_message_size: 0, server_events: false };
    sim.negotiate_sctp(peer, facts);
    sim.run_for(seconds(10));
    let up = Event::SctpConnected { peer: id };
    assert!(sim.events.iter().any(|(_, event)| *event == up), "{:?}", sim.events);
}

#[test]
fn a_link_that_stops_costs_its_own_channel_only() {
    let joins = [Join::subscriber(); 4];
    let mut fan = Fan::open(SimConfig::new(11, 1), RELIABLE, &joins);
    let dead = LinkConfig::default().with_loss(1.0);
    fan.sim.relink(fan.subscribers[0], LinkConfig::default(), dead);
    for number in 0..120u32 {
        let mut message = vec![7; 20_000];
        message[..4].copy_from_slice(&number.to_be_bytes());
        assert!(fan.send(&message));
        fan.sim.run_for(millis(50));
    }
    fan.sim.run_for(seconds(3));
    assert_eq!(fan.closings(), [ChannelCloseReason::Overflow]);
    for number in 1..3 {
        assert_eq!(fan.got(number), (0..120).collect::<Vec<_>>());
    }
    assert!(fan.got(0).len() < 120);
    fan.sim.check();
}

#[test]
fn a_burst_of_small_messages_takes_turns_and_arrives() {
    let mut fan = Fan::open(SimConfig::new(17, 1), RELIABLE, &[Join::subscriber(); 4]);
    for number in 0..1_500u32 {
        assert!(fan.send(&number.to_be_bytes()));
    }
    fan.sim.run_for(seconds(5));
    for number in 0..3 {
        assert_eq!(fan.got(number), (0..1_500).collect::<Vec<_>>());
    }
    fan.sim.check();
}

#[test]
fn a_lane_that_is_full_delays_messages_and_loses_none() {
    let mut config = SimConfig::new(13, 2);
    config.lane_depth = 1;
    let mut fan = Fan::open(config, RELIABLE, &[Join::subscriber(); 5]);
    for number in 0..20u32 {
        let mut message = vec![0; 64];
        message[..4].copy_from_slice(&number.to_be_bytes());
        assert!(fan.send(&message));
    }
    fan.sim.run_for(seconds(2));
    for number in 0..4 {
        assert_eq!(fan.got(number), (0..20).collect::<Vec<_>>());
    }
}
