//! Arbitrary and damaged text: no panic, bounded cost.

use std::time::{Duration, Instant};

use controlplane::sdp::{Description, Wish};
use proptest::prelude::*;

use crate::offering::turned;
use crate::support::{
    OFFERS, check_answer, negotiation, publish, pull, receive, sample, source, text,
};

/// Damages a recorded offer: lines cut, doubled, swapped, or changed in one byte.
fn damaged(text: &str, edits: &[(usize, u8, u8)]) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for (place, kind, byte) in edits {
        if lines.is_empty() {
            break;
        }
        let at = place % lines.len();
        match kind % 5 {
            0 => drop(lines.remove(at)),
            1 => lines.insert(at, lines[at].clone()),
            2 => {
                let other = place / 7 % lines.len();
                lines.swap(at, other);
            }
            3 => {
                let mut bytes = lines[at].clone().into_bytes();
                let spot = usize::from(*byte) % bytes.len().max(1);
                if let Some(one) = bytes.get_mut(spot) {
                    *one = byte.wrapping_mul(31);
                }
                lines[at] = String::from_utf8_lossy(&bytes).into_owned();
            }
            _ => lines[at] = lines[at].chars().take(usize::from(*byte) % 20).collect(),
        }
    }
    lines.join("\r\n") + "\r\n"
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn arbitrary_text_never_panics(text in "\\PC{0,400}") {
        let _ = Description::parse(&text);
    }

    #[test]
    fn arbitrary_lines_never_panic(
        lines in proptest::collection::vec("[vosctma]=[ -~]{0,40}", 0..40)
    ) {
        let text = format!("v=0\r\n{}\r\n", lines.join("\r\n"));
        let _ = Description::parse(&text);
    }

    /// Whatever still parses is answered, and the answer still fits the offer.
    #[test]
    fn damaged_offers_are_refused_or_answered_well(
        sample in 0..OFFERS.len(),
        edits in proptest::collection::vec((0usize..400, any::<u8>(), any::<u8>()), 1..6),
    ) {
        let text = damaged(&text(OFFERS[sample]), &edits);
        let Ok(offer) = Description::parse(&text) else { return Ok(()) };
        let wishes: Vec<Wish> = offer.sections.iter().map(|s| publish(&s.mid)).collect();
        let mut negotiation = negotiation();
        let Ok(answered) = negotiation.answer(&offer, &wishes) else { return Ok(()) };
        let rejected = offer.sections.iter().any(|s| s.mid.is_empty());
        if !rejected && !conflicting_ids(&offer) {
            check_answer(&offer, &answered.sdp);
        } else {
            prop_assert!(Description::parse(&answered.sdp).is_ok());
        }
    }

    #[test]
    fn damaged_answers_never_panic(
        edits in proptest::collection::vec((0usize..400, any::<u8>(), any::<u8>()), 1..6),
    ) {
        let media = source("chromium-publish-audio-video", "1");
        let mut negotiation = negotiation();
        let offered = negotiation.offer(&[pull(&media, 10), pull(&media, 20)]).unwrap();
        let Ok(answer) = Description::parse(&damaged(&turned(&offered.sdp), &edits)) else {
            return Ok(());
        };
        let _ = negotiation.accept_answer(&answer);
        negotiation.roll_back();
        let _ = negotiation.offer(&[pull(&media, 30)]);
    }

    /// Our own text comes back as what it says: sections, mids, codecs, extensions.
    #[test]
    fn what_we_write_we_read(sample in 0..OFFERS.len()) {
        let offer = crate::support::sample(OFFERS[sample]);
        let mut negotiation = negotiation();
        let answered = negotiation.answer(&offer, &[]).unwrap();
        let first = Description::parse(&answered.sdp).unwrap();
        let again = negotiation.answer(&offer, &[]).unwrap();
        prop_assert_eq!(first, Description::parse(&again.sdp).unwrap());
    }
}

/// Whether two extensions claim one id somewhere in the offer; such an offer breaks the rules, and
/// the answer takes the first of them only where it stands.
fn conflicting_ids(offer: &Description) -> bool {
    let all: Vec<_> = offer.sections.iter().flat_map(|s| &s.extensions).collect();
    all.iter().any(|a| all.iter().any(|b| a.id == b.id && a.uri != b.uri))
}

/// A session of 64 tracks, as large as one request can make it.
fn sixty_four_sections() -> String {
    let base = text("chromium-publish-audio-video");
    let at = base.find("m=video").unwrap();
    let mut offer = base[..at].to_owned();
    let mids: Vec<String> = (0..64).map(|n| n.to_string()).collect();
    offer = offer.replace("BUNDLE 0 1", &format!("BUNDLE {}", mids.join(" ")));
    for mid in 1..64 {
        offer += &base[at..].replace("a=mid:1", &format!("a=mid:{mid}"));
    }
    offer
}

#[test]
fn a_session_of_sixty_four_tracks_is_answered_in_time() {
    let text = sixty_four_sections();
    assert!(text.len() > 150_000, "{}", text.len());
    let mut negotiation = negotiation();
    let best = (0..5)
        .map(|_| {
            let start = Instant::now();
            let offer = Description::parse(&text).unwrap();
            let wishes: Vec<Wish> = offer.sections.iter().map(|s| publish(&s.mid)).collect();
            let answered = negotiation.answer(&offer, &wishes).unwrap();
            let spent = start.elapsed();
            assert!(answered.outcomes.iter().all(Result::is_ok));
            spent
        })
        .min()
        .unwrap();
    println!("64 sections, {} bytes: {best:?}", text.len());
    assert!(best < Duration::from_millis(200), "{best:?}");
}

#[test]
fn hostile_descriptions_are_cheap() {
    let head = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n";
    let all: String = (0..128).map(|n| format!(" {n}")).collect();
    let maps: String = (0..128).map(|n| format!("a=rtpmap:{n} a/1\r\n")).collect();
    let feedback = "a=rtcp-fb:* nack\r\na=rtcp-fb:* x\r\n".repeat(40);
    let wide = format!("m=video 0 X{all}\r\n{maps}{feedback}");
    let ssrcs: String = (0..64).map(|n| format!("a=ssrc:{n} a:b\r\n")).collect();
    let cases = [
        ("wide sections", format!("{head}{}", wide.repeat(63))),
        ("empty sections", format!("{head}{}", "m=video 0 X 96\r\n".repeat(256))),
        (
            "candidates",
            format!("{head}{}", "a=candidate:1 1 udp 1 h.local 9 typ host\r\n".repeat(12_000)),
        ),
        ("ssrcs", format!("{head}{}", format!("m=audio 0 X 0\r\n{ssrcs}").repeat(250))),
        ("short lines", format!("{head}{}", "a=x\r\n".repeat(16_000))),
        ("one long line", format!("{head}a={}\r\n", "x".repeat(250_000))),
        (
            "groups",
            format!("{head}{}", format!("a=group:BUNDLE{}\r\n", " x".repeat(2_000)).repeat(60)),
        ),
        ("times", format!("{head}{}", "t=0 0\r\nr=1 1 1 1 1 1 1 1\r\n".repeat(8_000))),
    ];
    for (name, text) in cases {
        let best = (0..5)
            .map(|_| {
                let start = Instant::now();
                let _ = Description::parse(&text);
                start.elapsed()
            })
            .min()
            .unwrap();
        println!("{name}: {} bytes, {best:?}", text.len());
        assert!(best < Duration::from_millis(100), "{name}: {best:?}");
    }
}

#[test]
fn more_wishes_than_sections_are_refused_one_by_one() {
    let media = source("chromium-publish-audio-video", "1");
    let wishes: Vec<Wish> = (0..200).map(|n| receive(None, &media, n * 2)).collect();
    let mut negotiation = negotiation();
    let answered = negotiation.answer(&sample("chromium-recvonly-audio-video"), &wishes).unwrap();
    assert_eq!(answered.outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
}
