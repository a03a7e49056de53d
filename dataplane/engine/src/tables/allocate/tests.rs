//! Ladders: what there is to choose from; and how bandwidth is given out.

use std::time::Duration;

use super::*;
use crate::kit::packet::Packet;
use crate::kit::table::Table;
use common::id::{CoreId, SubscriptionId, TrackId};
use common::media::Codec;
use proto::payload::facts::{FrameFacts, Indication, Indications};

/// Encodings as (bit/s, temporal layers of equal size); all heard of within a second.
fn feed(encodings: &[(u32, u8)], start: Instant) -> Feed<Index> {
    let mut feed = Feed::new(TrackId::new(1, 0), MediaKind::Video, CoreId(0));
    for (encoding, (rate, temporal)) in (0u8..).zip(encodings) {
        for n in 0..u32::from(*temporal) * 10 {
            let layer = (n % u32::from(*temporal)) as u8;
            let indications =
                Target::all().fold(Indications::all(Indication::Required), |all, target| {
                    match target.temporal() < layer {
                        true => all.with(target, Indication::Absent),
                        false => all,
                    }
                });
            let frame = FrameFacts { indications, ..FrameFacts::UNKNOWN };
            let timestamp = n * 3_000;
            let packet =
                Packet { encoding, frame, timestamp, codec: Codec::Vp8, ..Packet::blank() };
            let (state, _) = feed.encoding(&packet, || Index::new(true)).expect("few");
            state.newest_at = Some(start + Duration::from_secs(1));
            state.count(&packet, (rate / 8 / (u32::from(*temporal) * 10)) as usize, start);
        }
    }
    feed.encodings.iter_mut().for_each(|state| state.meter.settle(start + Duration::from_secs(1)));
    feed
}

fn rungs(ladder: &Ladder) -> Vec<(u8, u64)> {
    ladder.rungs().iter().map(|rung| (rung.encoding, rung.rate / 1_000)).collect()
}

#[test]
fn an_automatic_ladder_has_every_living_encoding_and_the_layers_of_the_lowest() {
    let start = Instant::now();
    let now = start + Duration::from_secs(1);
    let mut feed = feed(&[(1_500_000, 1), (120_000, 3), (400_000, 1)], start);
    let automatic = LayerChoice::default();
    let all = Ladder::of(&feed, &automatic, now);
    assert_eq!(rungs(&all), [(1, 40), (1, 80), (1, 120), (2, 400), (0, 1_500)]);
    let later = now + Duration::from_secs(1);
    for encoding in [1, 2] {
        feed.encodings[encoding].newest_at = Some(later);
    }
    let left = Ladder::of(&feed, &automatic, later);
    assert_eq!(rungs(&left), [(1, 40), (1, 80), (1, 120), (2, 400)], "one fell silent");
}

#[test]
fn wishes_of_the_application_bound_the_ladder() {
    let start = Instant::now();
    let now = start + Duration::from_secs(1);
    let mut feed = feed(&[(120_000, 1), (400_000, 1), (1_500_000, 1)], start);
    let order = vec![2, 1, 0];
    let wish = |preferred, step_down, step_aside| LayerChoice {
        preferred: Some(preferred),
        order: order.clone(),
        step_down,
        step_aside,
    };
    let choices = |feed: &Feed<Index>, choice: &LayerChoice, now| {
        rungs(&Ladder::of(feed, choice, now)).into_iter().map(|rung| rung.0).collect::<Vec<_>>()
    };
    assert_eq!(choices(&feed, &wish(1, false, false), now), [1]);
    assert_eq!(choices(&feed, &wish(2, true, false), now), [0, 1, 2]);
    assert_eq!(choices(&feed, &wish(1, true, true), now), [0, 1], "never above the wish");
    let later = now + Duration::from_secs(1);
    for encoding in [0, 2] {
        feed.encodings[encoding].newest_at = Some(later);
    }
    assert_eq!(choices(&feed, &wish(1, false, false), later), [1], "gone: nothing else instead");
    assert_eq!(choices(&feed, &wish(1, false, true), later), [0], "the next in order");
    assert_eq!(choices(&feed, &wish(1, true, true), later), [0]);
}

#[test]
fn bandwidth_is_given_out_in_turns_and_what_is_shown_is_kept_a_little_longer() {
    let start = Instant::now();
    let now = start + Duration::from_secs(1);
    let feed = feed(&[(100_000, 1), (500_000, 1), (1_500_000, 1)], start);
    let place = Table::new().insert(SubscriptionId::new(1, 0), ()).expect("free");
    let shares = |present: Option<usize>| -> Vec<Share> {
        let share = || {
            let ladder = Ladder::of(&feed, &LayerChoice::default(), now);
            Share { subscription: place, ladder, present, chosen: 0 }
        };
        vec![share(), share()]
    };
    let give = |present, budget, open| {
        let mut shares = shares(present);
        let lowest = shares.iter().map(Share::rate).sum();
        let used = raise(&mut shares, (budget, budget), lowest, open);
        (shares[0].chosen, shares[1].chosen, used / 1_000)
    };
    assert_eq!(give(None, 100_000, true), (0, 0, 200), "the lowest in any case");
    assert_eq!(give(None, 1_100_000, true), (1, 1, 1_000));
    assert_eq!(give(None, 2_200_000, true), (2, 1, 2_000));
    assert_eq!(give(None, u64::MAX, true), (2, 2, 3_000));
    assert_eq!(give(Some(0), u64::MAX, false), (0, 0, 200), "the brake holds");
    assert_eq!(give(Some(1), 950_000, true), (1, 1, 1_000), "kept though it costs a little more");
    assert_eq!(give(Some(1), 800_000, true), (1, 0, 600));
}

#[test]
fn while_a_queue_drains_the_encoding_is_lower_and_its_pictures_are_all_there() {
    let start = Instant::now();
    let now = start + Duration::from_secs(1);
    let feed = feed(&[(120_000, 3), (400_000, 1)], start);
    let place = Table::new().insert(SubscriptionId::new(1, 0), ()).expect("free");
    let give = |budget, cautious| {
        let ladder = Ladder::of(&feed, &LayerChoice::default(), now);
        let mut shares = [Share { subscription: place, ladder, present: Some(3), chosen: 0 }];
        raise(&mut shares, (budget, cautious), 40_000, true)
    };
    assert_eq!(give(450_000, 450_000), 400_000);
    assert_eq!(give(450_000, 225_000), 120_000);
    assert_eq!(give(130_000, 65_000), 120_000, "temporal layers are not what fills a queue");
}
