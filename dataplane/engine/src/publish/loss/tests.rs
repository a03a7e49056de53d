//! Tests of the gaps: what is asked for, when and how often, and that it is bounded.

use std::collections::{BTreeSet, BinaryHeap};

use proptest::prelude::*;

use super::*;

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const REORDER: Duration = ms(10);

fn gaps(start: Instant) -> (Gaps, RoundTrip, [u16; GAPS_MAX]) {
    (Gaps::new(MediaKind::Video, start), RoundTrip::default(), [0; GAPS_MAX])
}

#[test]
fn a_gap_is_asked_for_until_it_is_filled_or_given_up() {
    let start = Instant::now();
    let (mut gaps, mut path, mut numbers) = gaps(start);
    assert!(gaps.on_jump(65_534, 65_538, start));
    assert_eq!(gaps.due(start, &mut path, &mut numbers).count, 0, "it may only be late");
    assert_eq!(gaps.due(start + REORDER, &mut path, &mut numbers).count, 3);
    assert_eq!(numbers[..3], [65_535, 0, 1]);
    assert_eq!(gaps.due(start + REORDER, &mut path, &mut numbers).count, 0, "once");
    let filled = gaps.fill(65_536, Way::Repeated, start + ms(60), &mut path);
    assert_eq!(filled, Some(Filled::Answered));
    assert_eq!(gaps.fill(65_536, Way::Repeated, start, &mut path), None);
    let asked: Vec<_> = (0..150)
        .filter(|tick| gaps.due(start + ms(60 + 10 * tick), &mut path, &mut numbers).count > 0)
        .collect();
    assert!((2..8).contains(&asked.len()), "{asked:?}");
    assert!(asked.iter().all(|tick| 60 + 10 * tick < 1_000), "{asked:?}");
    assert!(gaps.is_empty());
}

#[test]
fn what_is_asked_for_in_vain_calls_for_a_key_frame() {
    let start = Instant::now();
    let (mut gaps, mut path, mut numbers) = gaps(start);
    (0..20).for_each(|_| path.sample(ms(40)));
    gaps.on_jump(0, 2, start);
    let mut hopeless =
        (1..=100).filter(|tick| gaps.due(start + ms(10 * tick), &mut path, &mut numbers).hopeless);
    assert_eq!(hopeless.next(), Some(50));
    assert_eq!(hopeless.last(), Some(99), "until it is given up");
    gaps.on_jump(2, 4, start + ms(2_000));
    gaps.on_key_frame(4);
    let quiet =
        |tick: u64| !gaps.due(start + ms(2_000 + 10 * tick), &mut path, &mut numbers).hopeless;
    assert!((0..100).all(quiet), "a key frame came");
}

#[test]
fn only_the_answer_to_a_single_request_says_how_long_the_path_is() {
    let start = Instant::now();
    let (mut gaps, mut path, mut numbers) = gaps(start);
    gaps.on_jump(0, 3, start);
    assert_eq!(gaps.due(start + ms(10), &mut path, &mut numbers).count, 2);
    let before = path.wait();
    assert_eq!(gaps.due(start + ms(10) + before, &mut path, &mut numbers).count, 2);
    let soon = start + ms(20) + before;
    assert_eq!(gaps.fill(1, Way::Repeated, soon, &mut path), Some(Filled::Answered));
    assert_eq!(gaps.fill(2, Way::Original, soon, &mut path), Some(Filled::Late));
    assert_eq!(path.wait(), before, "which request was answered is not known");
    gaps.on_jump(3, 5, soon);
    gaps.due(soon + ms(20), &mut path, &mut numbers);
    gaps.fill(4, Way::Shared, soon + ms(60), &mut path);
    assert!(path.wait() < before / 2, "40 ms were");
}

#[test]
fn audio_is_given_up_sooner() {
    let start = Instant::now();
    let mut gaps = Gaps::new(MediaKind::Audio, start);
    gaps.on_jump(1, 3, start);
    gaps.expire(start + ms(199));
    assert!(!gaps.is_empty());
    gaps.expire(start + ms(200));
    assert!(gaps.is_empty());
}

#[test]
fn a_loss_too_long_to_repair_is_reported() {
    let start = Instant::now();
    let (mut gaps, ..) = gaps(start);
    assert!(!gaps.on_jump(0, GAPS_MAX as u64 + 2, start));
    assert!(gaps.on_jump(0, GAPS_MAX as u64 + 1, start));
    assert!(!gaps.on_jump(GAPS_MAX as u64 + 1, u64::MAX, start));
}

#[test]
fn what_does_not_fit_is_asked_for_in_the_next_call() {
    let start = Instant::now();
    let (mut gaps, mut path, _) = gaps(start);
    gaps.on_jump(0, 6, start);
    let mut few = [0; 3];
    assert_eq!((gaps.due(start + REORDER, &mut path, &mut few).count, few), (3, [1, 2, 3]));
    assert_eq!((gaps.due(start + REORDER, &mut path, &mut few).count, few), (2, [4, 5, 3]));
}

#[test]
fn gaps_before_a_key_frame_are_not_asked_for_but_may_come_late() {
    let start = Instant::now();
    let (mut gaps, mut path, mut numbers) = gaps(start);
    gaps.on_jump(10, 13, start);
    gaps.on_jump(15, 17, start);
    gaps.on_key_frame(15);
    assert_eq!(gaps.due(start + ms(20), &mut path, &mut numbers).count, 1);
    assert_eq!(numbers[0], 16);
    assert_eq!(gaps.fill(12, Way::Original, start + ms(20), &mut path), Some(Filled::Late));
}

#[test]
fn disorder_is_learnt_and_forgotten() {
    let start = Instant::now();
    let (mut gaps, mut path, mut numbers) = gaps(start);
    let mut now = start;
    let (mut first, mut last) = (0, 0);
    // Every fifth packet comes 25 ms late, for a while.
    for number in 0..100u64 {
        now += ms(50);
        gaps.on_jump(2 * number, 2 * number + 2, now);
        let asked =
            (1..=2).map(|tick| gaps.due(now + ms(10 * tick), &mut path, &mut numbers).count);
        let asked = asked.sum::<usize>();
        *(if number < 50 { &mut first } else { &mut last }) += asked;
        gaps.fill(2 * number + 1, Way::Original, now + ms(25), &mut path);
    }
    assert!(first > 0 && last == 0, "{first} {last}");
    for number in 100..200u64 {
        now += ms(50);
        gaps.on_jump(2 * number, 2 * number + 2, now);
        gaps.due(now + ms(40), &mut path, &mut numbers);
        gaps.fill(2 * number + 1, Way::Repeated, now + ms(45), &mut path);
    }
    gaps.on_jump(400, 402, now);
    assert_eq!(gaps.due(now + ms(11), &mut path, &mut numbers).count, 1, "now they are lost");
}

#[test]
fn arrivals_that_run_backwards_do_no_harm() {
    let start = Instant::now() + ms(10_000);
    let (mut gaps, mut path, mut numbers) = gaps(start);
    gaps.on_jump(1, 3, start + ms(50));
    assert_eq!(gaps.due(start + ms(45), &mut path, &mut numbers).count, 0);
    assert_eq!(gaps.due(start + ms(60), &mut path, &mut numbers).count, 1);
    let filled = gaps.fill(2, Way::Repeated, start - ms(5), &mut path);
    assert_eq!(filled, Some(Filled::Answered));
}

/// What happens at a time in microseconds, the earliest first.
type Happening = std::cmp::Reverse<(u64, bool, u64)>;

/// A publisher of 250 packets a second for 60 s over a path that loses `lost_up` of what goes up
/// and `lost_down` of what goes down, and takes `round_trip` ms. Returns what was lost, named in
/// requests, and never repaired. `path` is what is known of the path before.
fn run(
    seed: u64,
    round_trip: u64,
    (lost_up, lost_down): (f64, f64),
    mut path: RoundTrip,
) -> (u64, u64, u64) {
    let mut random = crate::kit::random::Random::new(seed);
    let mut chance = |share: f64| (random.next_u64() >> 11) as f64 / ((1u64 << 53) as f64) < share;
    let start = Instant::now();
    let (mut gaps, _, mut numbers) = gaps(start);
    let mut queue = BinaryHeap::new();
    let (mut newest, mut asked, mut losses) = (0, 0, BTreeSet::new());
    for number in 0..15_000u64 {
        let arrival = number * 4_000 + round_trip * 500;
        match number > 0 && chance(lost_up) {
            true => _ = losses.insert(number),
            false => queue.push(std::cmp::Reverse((arrival, false, number))),
        }
    }
    let lost = losses.len() as u64;
    let mut tick = 0;
    while let Some(std::cmp::Reverse((at, repeated, number))) = queue.pop() {
        while tick + 10_000 <= at {
            tick += 10_000;
            let due = gaps.due(start + Duration::from_micros(tick), &mut path, &mut numbers).count;
            asked += due as u64;
            let heard = due > 0 && !chance(lost_down);
            for named in numbers[..due].iter().filter(|_| heard) {
                if !chance(lost_up) {
                    let answer = tick + round_trip * 1_000 + 500;
                    let event: Happening = std::cmp::Reverse((answer, true, u64::from(*named)));
                    queue.push(event);
                }
            }
        }
        let now = start + Duration::from_micros(at);
        if repeated {
            let filled = gaps.fill(number, Way::Repeated, now, &mut path);
            assert!(filled != Some(Filled::Late));
            losses.remove(&number);
        } else {
            assert!(gaps.on_jump(newest, number, now));
            newest = number;
        }
    }
    (lost, asked, losses.len() as u64)
}

#[test]
fn a_lost_packet_costs_little_more_than_one_request() {
    for (seed, round_trip) in (1..).zip([20, 40, 60, 100, 150, 200, 300]) {
        let (lost, asked, open) = run(seed, round_trip, (0.05, 0.0), RoundTrip::default());
        let ratio = asked as f64 / lost as f64;
        assert!(lost > 500 && ratio <= 1.1, "{round_trip} ms: {asked} for {lost}");
        assert!(open <= 1, "{round_trip} ms: {open} of {lost}");
    }
}

#[test]
fn requests_that_are_lost_are_made_again() {
    for (seed, round_trip) in (1..).zip([20, 60, 150, 300]) {
        let (lost, asked, open) = run(seed, round_trip, (0.05, 0.05), RoundTrip::default());
        let ratio = asked as f64 / lost as f64;
        // Of 100 requests 9.75 are lost, or their answers: 1.11 per repaired packet.
        assert!(ratio <= 1.2, "{round_trip} ms: {asked} for {lost}");
        assert!(open as f64 <= lost as f64 * 0.02, "{round_trip} ms: {open} of {lost}");
    }
}

#[test]
fn a_path_that_became_longer_costs_few_requests() {
    let mut short = RoundTrip::default();
    (0..40).for_each(|_| short.sample(ms(20)));
    let (lost, asked, _) = run(1, 400, (0.05, 0.0), short);
    assert!((asked as f64) < lost as f64 * 1.1, "{asked} for {lost}");
}

proptest! {
    /// Whatever jumps, fills and key frames come: never more than the bound, never a number twice
    /// in one call, nothing that arrived.
    #[test]
    fn requests_are_bounded_and_name_only_what_is_missing(
        steps in prop::collection::vec((0u64..250, 0u64..300, any::<bool>(), 0u64..40), 1..400),
    ) {
        let start = Instant::now();
        let (mut gaps, mut path, mut numbers) = gaps(start);
        let (mut now, mut newest, mut missing) = (start, 1_000, BTreeSet::new());
        for (ahead, behind, repeated, wait) in steps {
            now += ms(wait);
            let number = newest + ahead;
            if gaps.on_jump(newest, number, now) {
                missing.extend(newest + 1..number);
            } else {
                missing.clear();
            }
            newest = newest.max(number);
            let late = newest.saturating_sub(behind);
            let way = if repeated { Way::Repeated } else { Way::Shared };
            if gaps.fill(late, way, now, &mut path).is_some() {
                prop_assert!(missing.remove(&late), "{} was not missing", late);
            }
            if behind == 0 {
                gaps.on_key_frame(number);
            }
            let count = gaps.due(now, &mut path, &mut numbers).count;
            prop_assert!(count <= GAPS_MAX);
            let named: BTreeSet<_> = numbers[..count].iter().collect();
            prop_assert_eq!(named.len(), count);
            prop_assert!(named.iter().all(|n| missing.iter().any(|m| *m as u16 == **n)));
        }
    }
}
