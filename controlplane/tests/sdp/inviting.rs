//! Offers of ours in which the client is to publish, halves kept open for a later pull, and
//! sections that are used again.

use common::media::{Extension, MediaKind};
use controlplane::sdp::{Accepted, AcceptedOutcome, Ask, Description, Negotiation, WishError};
use proptest::prelude::*;

use crate::offering::turned;
use crate::support::{
    answer, check_ids, check_text, close, half, negotiation, publish, published, pull, pull_onto,
    sample, section_text, source, text,
};

fn invite(kind: MediaKind) -> Ask {
    Ask::Publish { kind, send: None }
}

fn invite_both_ways(kind: MediaKind, ssrc: u32) -> Ask {
    Ask::Publish { kind, send: Some(half(ssrc)) }
}

/// An answer whose sections send under SSRCs of their own.
fn answered(negotiation: &mut Negotiation, answer: &str) -> Vec<Accepted> {
    negotiation.accept_answer(&Description::parse(answer).unwrap()).unwrap()
}

#[test]
fn an_invitation_is_what_chromium_would_offer() {
    let mut negotiation = negotiation();
    let offered = negotiation.offer(&[invite(MediaKind::Audio), invite(MediaKind::Video)]).unwrap();
    assert_eq!(offered.mids, ["0", "1"]);
    check_text(&offered.sdp);
    let ours = Description::parse(&offered.sdp).unwrap();
    check_ids(&ours);
    let chromium = sample("chromium-publish-audio-video");
    for (ours, theirs) in ours.sections.iter().zip(&chromium.sections) {
        assert_eq!(ours.direction.name(), "recvonly");
        // Every codec of Chromium's that passes at all, under its number, RTX included.
        for payload in &theirs.payloads {
            let passes = ["red", "ulpfec"].iter().all(|name| !payload.format.name.contains(name))
                && payload.payload_type != 119
                || payload.payload_type == 63;
            let same = ours.payloads.iter().find(|p| p.payload_type == payload.payload_type);
            assert_eq!(same.map(|p| &p.format), passes.then_some(&payload.format));
        }
        // Every extension of ours has the id Chromium gives it, where Chromium has it.
        for extension in &ours.extensions {
            let theirs = theirs.extensions.iter().find(|e| e.uri == extension.uri);
            assert!(theirs.is_none_or(|e| e.id == extension.id), "{extension:?}");
        }
        let first = &ours.payloads[0];
        assert!(first.feedback.iter().any(|value| value == "transport-cc"));
    }
    let video = section_text(&offered.sdp, 1);
    for line in
        ["a=rtcp-fb:96 nack pli", "a=extmap:10 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"]
    {
        assert!(video.contains(&format!("{line}\r\n")), "{video}");
    }
    assert!(!offered.sdp.contains("a=msid:") && !offered.sdp.contains("a=ssrc"));
}

#[test]
fn real_answers_begin_the_publications() {
    // Recorded answers of clients that published in the sections of a server's offer, cut to the
    // sections' order here; their numbers are those of that offer.
    for name in ["chromium", "firefox"] {
        let mut negotiation = negotiation();
        let asks = [invite(MediaKind::Audio), invite(MediaKind::Video)];
        negotiation.offer(&asks).unwrap();
        let answer =
            text(&format!("{name}-answer-to-our-offer")).replace("a=recvonly", "a=sendonly");
        let outcomes = answered(&mut negotiation, &answer);
        assert_eq!(outcomes.len(), 2, "{name}");
        for (outcome, codec) in outcomes.iter().zip(["opus", "VP8"]) {
            let AcceptedOutcome::Published(section) = &outcome.outcome else {
                panic!("{name}: {outcome:?}")
            };
            assert_eq!(section.encodings.len(), 1);
            let first = &section.media.payloads[0];
            assert!(first.format.name.eq_ignore_ascii_case(codec), "{name}: {first:?}");
        }
        assert!(negotiation.section("0").unwrap().publishes);
        assert_eq!(negotiation.extensions().id(Extension::TransportCc), Some(3));
        // Its own later offer keeps what it publishes.
        assert!(negotiation.published("1").is_some());
    }
}

#[test]
fn signalled_streams_of_the_answer_are_taken() {
    let mut negotiation = negotiation();
    let offered = negotiation.offer(&[invite(MediaKind::Video)]).unwrap();
    let streams = "a=sendonly\r\na=ssrc-group:FID 70 71\r\na=ssrc:70 cname:c\r\na=ssrc:71 cname:c";
    let answer = turned(&offered.sdp).replace("a=sendonly", streams);
    let outcomes = answered(&mut negotiation, &answer);
    let AcceptedOutcome::Published(section) = &outcomes[0].outcome else { panic!() };
    let encoding = section.encodings[0];
    assert_eq!((encoding.rid, encoding.ssrc, encoding.rtx_ssrc), (None, Some(70), Some(71)));
    // Offers that follow leave the publication alone.
    let audio = source("chromium-publish-audio-video", "0");
    let offered = negotiation.offer(&[pull(&audio, 10)]).unwrap();
    let outcomes = answered(&mut negotiation, &turned(&offered.sdp));
    assert_eq!(outcomes.len(), 1, "{outcomes:?}");
    assert_eq!(negotiation.published("0").unwrap().encodings, [encoding]);
}

#[test]
fn a_declined_invitation_publishes_nothing() {
    for (from, to, stopped) in [
        ("a=sendonly", "a=inactive", false),
        ("m=video 9", "m=video 0", true),
        ("a=rtpmap:", "a=x-rtpmap:", true),
    ] {
        let mut negotiation = negotiation();
        let offered = negotiation.offer(&[invite(MediaKind::Audio), invite(MediaKind::Video)]);
        let answer = turned(&offered.unwrap().sdp);
        let (audio, video) = answer.split_at(answer.find("m=video").unwrap());
        let outcomes = answered(&mut negotiation, &format!("{audio}{}", video.replace(from, to)));
        assert!(matches!(outcomes[0].outcome, AcceptedOutcome::Published(_)));
        assert_eq!(outcomes[1].outcome, AcceptedOutcome::Unpublished, "{to}");
        let section = negotiation.section("1").unwrap();
        assert_eq!((section.publishes, section.stopped), (false, stopped), "{to}");
        assert_eq!(negotiation.published("1"), None, "{to}");
    }
}

#[test]
fn a_half_kept_open_takes_a_pull_without_a_description() {
    let audio = source("firefox-publish-audio-video", "0");
    let mut negotiation = negotiation();
    let offered = negotiation.offer(&[invite_both_ways(MediaKind::Audio, 50)]).unwrap();
    check_text(&offered.sdp);
    let section = section_text(&offered.sdp, 0);
    for line in ["a=sendrecv", "a=msid:stream-50 track-50", "a=ssrc:50 cname:stream-50"] {
        assert!(section.contains(&format!("{line}\r\n")), "{section}");
    }
    assert!(!negotiation.may_send("0"), "not before the answer");
    let outcomes = answered(&mut negotiation, &turned(&offered.sdp));
    assert!(matches!(outcomes[..], [Accepted { outcome: AcceptedOutcome::Published(_), .. }]));
    assert!(negotiation.may_send("0") && negotiation.receiving("0").is_none());

    let mapping = negotiation.remap("0", &audio).unwrap();
    assert_eq!(mapping.iter().find(|m| m.from == 109).unwrap().to, 111);
    let receiving = negotiation.receiving("0").unwrap();
    assert_eq!((receiving.ssrc, &receiving.payloads), (50, &mapping));
    let video = source("firefox-publish-audio-video", "1");
    assert_eq!(negotiation.remap("0", &video), Err(WishError::Kind));
    // A close ends both directions, and what was kept open with them.
    assert!(negotiation.close_mid("0"));
    assert!(!negotiation.may_send("0"));
    assert_eq!((negotiation.published("0"), negotiation.receiving("0")), (None, None));
    assert_eq!(negotiation.remap("0", &audio), Err(WishError::NoSection));
}

#[test]
fn a_client_that_does_not_receive_leaves_no_half_open() {
    let mut negotiation = negotiation();
    let offered = negotiation.offer(&[invite_both_ways(MediaKind::Video, 50)]).unwrap();
    let answer = turned(&offered.sdp).replace("a=sendrecv", "a=sendonly");
    let outcomes = answered(&mut negotiation, &answer);
    assert!(matches!(outcomes[..], [Accepted { outcome: AcceptedOutcome::Published(_), .. }]));
    assert!(!negotiation.may_send("0"));
}

#[test]
fn a_client_s_own_offer_keeps_a_half_open_on_demand() {
    for (name, mid) in
        [("chromium-sendrecv-audio-video", "1"), ("firefox-sendrecv-audio-video", "1")]
    {
        let mut negotiation = negotiation();
        let offer = sample(name);
        let mut wish = publish(mid);
        if let controlplane::sdp::Wish::Publish { send, .. } = &mut wish {
            *send = Some(half(60));
        }
        let wishes = [publish("0"), wish];
        let first = negotiation.answer(&offer, &wishes).unwrap();
        crate::support::check_answer(&offer, &first.sdp);
        assert!(section_text(&first.sdp, 0).contains("a=recvonly\r\n"), "{name}");
        let section = section_text(&first.sdp, 1);
        assert!(section.contains("a=sendrecv\r\n"), "{name}: {section}");
        assert!(section.contains("a=ssrc-group:FID 60 61\r\n"), "{name}: {section}");
        assert_eq!(published(&first, 1).mid, mid);
        assert!(negotiation.may_send(mid) && !negotiation.may_send("0"));
        // The same push again changes nothing that was promised.
        if let controlplane::sdp::Wish::Publish { send, .. } = &mut wishes[1].clone() {
            *send = Some(half(80));
        }
        let again = negotiation.answer(&offer, &wishes).unwrap();
        assert_eq!(section_text(&again.sdp, 1), section);
        // An offer in which the client only sends has no half to keep.
        let mut other = crate::support::negotiation();
        other.answer(&sample("chromium-publish-audio-video"), &wishes).unwrap();
        assert!(!other.may_send(mid));
    }
}

#[test]
fn a_section_in_which_nothing_is_sent_is_offered_again() {
    let (audio, video) =
        (source("chromium-publish-audio-video", "0"), source("chromium-publish-audio-video", "1"));
    let mut negotiation = negotiation();
    negotiation.answer(&sample("chromium-sendrecv-audio-video"), &[publish("0")]).unwrap();
    assert!(!negotiation.may_send("0"));
    assert_eq!(negotiation.check_reuse("0", &audio), Ok(()));
    assert_eq!(negotiation.check_reuse("0", &video), Err(WishError::Kind));
    assert_eq!(negotiation.check_reuse("9", &video), Err(WishError::NoSection));
    let offered = negotiation.offer(&[pull_onto(Some("0"), &audio, 10)]).unwrap();
    assert_eq!(offered.mids, ["0"]);
    assert_eq!(offered.sdp.matches("\r\nm=").count(), 2, "no new section");
    assert!(section_text(&offered.sdp, 0).contains("a=sendrecv\r\n"));
    let outcomes = answered(&mut negotiation, &turned(&offered.sdp));
    assert!(matches!(outcomes[..], [Accepted { outcome: AcceptedOutcome::Receiving(_), .. }]));
    assert!(negotiation.published("0").is_some(), "it publishes as before");
    let twice = negotiation.offer(&[pull_onto(Some("0"), &audio, 20)]);
    assert!(twice.is_err() && !negotiation.offer_outstanding());
}

#[test]
fn descriptions_do_not_grow_with_tracks_that_come_and_go() {
    let video = source("chromium-publish-audio-video", "1");
    for first_by_client in [false, true] {
        let mut negotiation = negotiation();
        if first_by_client {
            let offer = sample("chromium-publish-audio-video");
            negotiation.answer(&offer, &[publish("0"), publish("1")]).unwrap();
        }
        let mut most = 0;
        for round in 0..300u32 {
            let offered = negotiation.offer(&[pull(&video, 1_000 + round * 2)]).unwrap();
            check_text(&offered.sdp);
            most = most.max(offered.sdp.matches("\r\nm=").count());
            let outcomes = answered(&mut negotiation, &turned(&offered.sdp));
            let mid = offered.mids[0].clone();
            let receives =
                |o: &&Accepted| o.mid == mid && matches!(o.outcome, AcceptedOutcome::Receiving(_));
            assert_eq!(outcomes.iter().filter(receives).count(), 1, "round {round}");
            assert!(negotiation.close_mid(&mid));
        }
        assert!(most <= 5, "{most} sections");
        // What the client made itself is never stopped by us.
        let stopped = |mid: &str| negotiation.section(mid).unwrap().stopped;
        assert!(!first_by_client || !stopped("0") && !stopped("1"));
    }
}

#[test]
fn the_section_of_a_publication_that_fell_silent_is_used_again() {
    let audio = source("chromium-publish-audio-video", "0");
    let mut negotiation = negotiation();
    let asks = [invite(MediaKind::Audio), invite(MediaKind::Audio)];
    let offered = negotiation
        .offer(&[&asks[..], &[invite_both_ways(MediaKind::Audio, 40)]].concat())
        .unwrap();
    answered(&mut negotiation, &turned(&offered.sdp));
    negotiation.remap("2", &audio).unwrap();
    // Of the three only the second still publishes; the third one sends.
    negotiation.close_ended(|mid| mid == "1");
    let offered = negotiation.offer(&[pull(&audio, 50)]).unwrap();
    assert!(section_text(&offered.sdp, 0).contains("a=inactive\r\n"), "it carries the transport");
    assert!(section_text(&offered.sdp, 1).contains("a=recvonly\r\n"));
    assert!(section_text(&offered.sdp, 2).contains("a=sendrecv\r\n"));
    answered(&mut negotiation, &turned(&offered.sdp));
    negotiation.close_ended(|_| false);
    let offered = negotiation.offer(&[pull(&audio, 60)]).unwrap();
    assert!(section_text(&offered.sdp, 1).starts_with("m=audio 0 "), "{}", offered.sdp);
}

#[test]
fn a_closed_section_lives_until_our_next_offer_and_can_be_named_until_then() {
    let video = source("chromium-publish-audio-video", "1");
    let mut negotiation = negotiation();
    let offered = negotiation.offer(&[pull(&video, 10), pull(&video, 20)]).unwrap();
    answered(&mut negotiation, &turned(&offered.sdp));
    assert!(negotiation.close_mid("1"));
    let offered = negotiation.offer(&[pull_onto(Some("1"), &video, 30)]).unwrap();
    let outcomes = answered(&mut negotiation, &turned(&offered.sdp));
    assert_eq!(outcomes.len(), 2);
    assert_eq!(negotiation.receiving("1").unwrap().ssrc, 30);
    // Closed again, and this time another pull comes first.
    assert!(negotiation.close_mid("1"));
    let offered = negotiation.offer(&[pull(&video, 40)]).unwrap();
    assert!(section_text(&offered.sdp, 1).starts_with("m=video 0 "), "{}", offered.sdp);
    assert!(offered.sdp.contains("a=group:BUNDLE 0 2\r\n"));
    answered(&mut negotiation, &turned(&offered.sdp));
    assert_eq!(negotiation.check_reuse("1", &video), Err(WishError::NoSection));
    let offered = negotiation.offer(&[pull(&video, 50)]).unwrap();
    assert!(section_text(&offered.sdp, 1).contains("a=mid:3\r\n"), "the place is used again");
}

#[test]
fn a_rolled_back_invitation_leaves_nothing() {
    let mut negotiation = negotiation();
    let offered = negotiation.offer(&[invite_both_ways(MediaKind::Audio, 50)]).unwrap();
    assert!(negotiation.uses_ssrc(50) && negotiation.uses_ssrc(51));
    negotiation.roll_back();
    assert!(!negotiation.uses_ssrc(50) && negotiation.sections().is_empty());
    assert!(
        Description::parse(&turned(&offered.sdp))
            .is_ok_and(|answer| negotiation.accept_answer(&answer).is_err())
    );
    let _ = answer(&mut negotiation, &text("chromium-publish-VP8"), &[publish("0"), close("9")]);
}

/// One step of a session: offers with asks, answers that turn things down, closes.
fn step(negotiation: &mut Negotiation, kind: u8, place: u8, ssrc: u32) {
    let audio = source("chromium-publish-audio-video", "0");
    let video = source("firefox-publish-audio-video", "1");
    let mids: Vec<String> = negotiation.sections().into_iter().map(|s| s.mid).collect();
    let mid = mids.get(usize::from(place) % mids.len().max(1)).cloned().unwrap_or_default();
    let asks = match kind % 8 {
        0 => vec![invite(MediaKind::Audio), pull(&video, ssrc)],
        1 => vec![invite_both_ways(MediaKind::Video, ssrc)],
        2 => vec![pull_onto(Some(&mid), &audio, ssrc)],
        3 => {
            vec![pull_onto(Some(&mid), &video, ssrc), invite_both_ways(MediaKind::Audio, ssrc + 4)]
        }
        4 => {
            negotiation.close_mid(&mid);
            return;
        }
        5 => return drop(negotiation.remap(&mid, &video)),
        6 => return drop(negotiation.remap(&mid, &audio)),
        _ => vec![pull(&audio, ssrc)],
    };
    let Ok(offered) = negotiation.offer(&asks) else { return };
    check_text(&offered.sdp);
    check_ids(&Description::parse(&offered.sdp).unwrap());
    let turned = turned(&offered.sdp);
    let answer = match place % 5 {
        0 => turned.replacen("a=sendonly", "a=inactive", 1),
        1 => turned.replacen("a=sendrecv", "a=recvonly", 1),
        2 => turned.replacen("a=recvonly", "a=inactive", 2),
        3 => return negotiation.roll_back(),
        _ => turned,
    };
    let _ = negotiation.accept_answer(&Description::parse(&answer).unwrap()).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever comes and goes, every description of ours keeps the rules, and a section that
    /// tells of a publication or a subscription is a live one.
    #[test]
    fn sessions_of_any_course_stay_sound(
        steps in prop::collection::vec((any::<u8>(), any::<u8>()), 1..24),
    ) {
        let mut negotiation = negotiation();
        for (number, (kind, place)) in (0u32..).zip(steps) {
            step(&mut negotiation, kind, place, 1_000 + number * 10);
            for section in negotiation.sections() {
                prop_assert!(!section.stopped || !section.publishes);
                let tells = negotiation.receiving(&section.mid).is_some();
                prop_assert!(!tells || negotiation.may_send(&section.mid));
            }
            prop_assert!(negotiation.sections().len() <= 60);
        }
    }
}
