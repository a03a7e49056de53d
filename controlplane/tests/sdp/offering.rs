//! Our offers and the clients' answers.

use common::command::DtlsRole;
use common::media::{Extension, MediaKind};
use controlplane::sdp::{AcceptedOutcome, Description, Negotiation, SdpErrorKind, SourceMedia};

use crate::support::{
    check_ids, check_text, negotiation, publish, published, pull, sample, section_text, source,
    text, transport,
};

fn sources() -> (SourceMedia, SourceMedia) {
    (source("chromium-publish-audio-video", "0"), source("chromium-publish-audio-video", "1"))
}

/// An answer a browser could give: the offer turned around.
pub(crate) fn turned(offer: &str) -> String {
    offer
        .replace("a=sendonly", "a=x-was-sendonly")
        .replace("a=recvonly", "a=sendonly")
        .replace("a=x-was-sendonly", "a=recvonly")
        .replace("a=setup:actpass", "a=setup:active")
        .replace("a=ice-lite\r\n", "")
        .replace("ice-ufrag:srv", "ice-ufrag:cli")
}

fn accepted(negotiation: &mut Negotiation, answer: &str) -> Vec<controlplane::sdp::Accepted> {
    negotiation.accept_answer(&Description::parse(answer).unwrap()).unwrap()
}

#[test]
fn the_first_offer_uses_the_numbers_of_libwebrtc() {
    let (audio, video) = sources();
    let mut negotiation = negotiation();
    let offered = negotiation.offer(&[pull(&audio, 10), pull(&video, 20)]).unwrap();
    assert_eq!(offered.mids, ["0", "1"]);
    assert!(negotiation.offer_outstanding());
    check_text(&offered.sdp);
    let offer = Description::parse(&offered.sdp).unwrap();
    check_ids(&offer);
    assert_eq!(offer.bundle, ["0", "1"]);
    assert_eq!(offered.sdp.matches("a=setup:actpass").count(), 2);
    let audio = section_text(&offered.sdp, 0);
    for line in [
        "a=rtpmap:111 opus/48000/2",
        "a=fmtp:63 111/111",
        "a=rtpmap:0 PCMU/8000",
        "a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level",
        "a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
        "a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid",
        "a=rtcp-fb:111 transport-cc",
        "a=sendonly",
    ] {
        assert!(audio.contains(&format!("{line}\r\n")), "{line}\n{audio}");
    }
    let video = section_text(&offered.sdp, 1);
    for line in [
        "a=rtpmap:96 VP8/90000",
        "a=fmtp:97 apt=96",
        "a=rtpmap:98 VP9/90000",
        "a=rtpmap:45 AV1/90000",
        "a=fmtp:108 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f",
        "a=fmtp:109 apt=108",
        "a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
        "a=extmap:12 https://aomediacodec.github.io/av1-rtp-spec/\
         #dependency-descriptor-rtp-header-extension",
        "a=rtcp-fb:96 ccm fir",
        "a=rtcp-fb:96 transport-cc",
        "a=ssrc-group:FID 20 21",
    ] {
        assert!(video.contains(&format!("{line}\r\n")), "{line}\n{video}");
    }
    assert!(!audio.contains(" nack") && !audio.contains("a=rtcp-fb:63 "), "{audio}");
    let unwanted = ["abs-send-time", "goog-remb", "a=rid", "stream-id", "video-layers-allocation"];
    assert!(unwanted.iter().all(|word| !offered.sdp.contains(word)));
}

#[test]
fn transport_feedback_needs_both_halves_in_the_answer() {
    let (audio, video) = sources();
    let feedback = |change: &dyn Fn(String) -> String| {
        let mut negotiation = negotiation();
        let offered = negotiation.offer(&[pull(&audio, 10), pull(&video, 20)]).unwrap();
        accepted(&mut negotiation, &change(turned(&offered.sdp)));
        (negotiation.transport_feedback(), negotiation.extensions().id(Extension::TransportCc))
    };
    assert_eq!(feedback(&|answer| answer), (true, Some(3)));
    let without_messages = |answer: String| answer.replace(" transport-cc", " x-cc");
    assert!(!feedback(&without_messages).0);
    let without_numbers = |answer: String| answer.replace("transport-wide-cc", "x-wide-cc");
    assert_eq!(feedback(&without_numbers), (false, None));
    let one_section = |answer: String| answer.replacen("transport-wide-cc", "x-wide-cc", 1);
    assert_eq!(feedback(&one_section), (true, Some(3)));
    let nothing_received = |answer: String| answer.replace("a=recvonly", "a=inactive");
    assert!(!feedback(&nothing_received).0);
}

#[test]
fn feedback_the_answer_leaves_out_is_not_counted_on() {
    let (audio, _) = sources();
    let mut negotiation = negotiation();
    let offer = sample("chromium-publish-audio-video");
    negotiation.answer(&offer, &[publish("1")]).unwrap();
    let offered = negotiation.offer(&[pull(&audio, 10)]).unwrap();
    let answer = turned(&offered.sdp).replace(":96 nack pli", ":96 x-pli");
    accepted(&mut negotiation, &answer);
    let vp8 = negotiation.published("1").unwrap().payloads[0];
    assert_eq!((vp8.payload_type, vp8.nack, vp8.pli), (96, true, false));
}

#[test]
fn payload_types_of_another_client_are_renumbered() {
    // aiortc has Opus on 96, where a browser has VP8.
    let audio = source("aiortc-publish", "0");
    let video = source("firefox-publish-audio-video", "1");
    let mut negotiation = negotiation();
    let offered = negotiation.offer(&[pull(&audio, 10), pull(&video, 20)]).unwrap();
    let outcomes = accepted(&mut negotiation, &turned(&offered.sdp));
    let AcceptedOutcome::Receiving(audio) = &outcomes[0].outcome else { panic!() };
    assert_eq!(audio.payloads.iter().find(|m| m.from == 96).unwrap().to, 111);
    let AcceptedOutcome::Receiving(video) = &outcomes[1].outcome else { panic!() };
    let vp8 = video.payloads.iter().find(|m| m.from == 120).unwrap();
    assert_eq!((vp8.to, vp8.rtx, video.rtx_ssrc), (96, Some(97), Some(21)));
}

#[test]
fn red_names_the_number_its_codec_got_here() {
    let offer = text("chromium-publish-audio-video").replace("111", "105");
    let mut publisher = negotiation();
    let answered = publisher.answer(&Description::parse(&offer).unwrap(), &[publish("0")]).unwrap();
    assert!(answered.sdp.contains("a=fmtp:63 105/105\r\n"));
    let media = published(&answered, 0).media.clone();
    let offered = negotiation().offer(&[pull(&media, 10)]).unwrap();
    assert!(offered.sdp.contains("a=rtpmap:111 opus/48000/2\r\n"));
    assert!(offered.sdp.contains("a=fmtp:63 111/111\r\n"));
}

#[test]
fn recorded_answers_to_a_server_offer_are_accepted() {
    // The recordings answer an offer of Opus 111 and VP8 96, extensions from another server.
    let (audio, video) = sources();
    for name in ["chromium", "firefox", "gstreamer", "werift", "wrtc", "aiortc"] {
        let mut negotiation = negotiation();
        negotiation.offer(&[pull(&audio, 10), pull(&video, 20)]).unwrap();
        let answer = sample(&format!("{name}-answer-to-server-offer"));
        let mids: Vec<_> = answer.sections.iter().map(|s| s.mid.as_str()).collect();
        assert_eq!(mids, ["0", "1"], "{name}");
        let outcomes = negotiation.accept_answer(&answer).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(outcomes.len(), 2);
        for (outcome, from) in outcomes.iter().zip([111, 96]) {
            let AcceptedOutcome::Receiving(section) = &outcome.outcome else { panic!("{name}") };
            assert!(section.payloads.iter().any(|m| m.from == from && m.to == from), "{name}");
        }
        assert!(!negotiation.offer_outstanding());
        assert_eq!(negotiation.remote_fingerprint(), answer.sections[0].fingerprint);
        assert!(!negotiation.transport_feedback(), "{name}: recorded under another id");
        // Extension ids the client did not take are not used.
        let taken = negotiation.extensions().id(Extension::Mid).is_some();
        let wrote = answer.sections.iter().flat_map(|s| &s.extensions);
        let mut wrote = wrote.filter(|e| e.uri == Extension::Mid.uri() && e.id == 4);
        assert_eq!(taken, wrote.next().is_some(), "{name}");
    }
}

#[test]
fn browsers_report_on_what_we_send() {
    let (audio, video) = sources();
    for (name, described, red) in [("chromium", Some(12), true), ("firefox", None, false)] {
        let mut negotiation = negotiation();
        negotiation.offer(&[pull(&audio, 10), pull(&video, 20)]).unwrap();
        let answer = sample(&format!("{name}-answer-to-our-offer"));
        let outcomes = negotiation.accept_answer(&answer).unwrap();
        assert!(negotiation.transport_feedback(), "{name}");
        let map = negotiation.extensions();
        assert_eq!(map.id(Extension::TransportCc), Some(3), "{name}");
        assert_eq!(map.id(Extension::AudioLevel), Some(1), "{name}");
        assert_eq!(map.id(Extension::DependencyDescriptor), described, "{name}");
        assert_eq!(map.id(Extension::AbsCaptureTime), described.map(|_| 9), "{name}");
        let AcceptedOutcome::Receiving(audio) = &outcomes[0].outcome else { panic!("{name}") };
        assert_eq!(audio.payloads.iter().any(|m| m.from == 63), red, "{name}");
        assert!(audio.payloads.iter().any(|m| m.from == 111), "{name}: Opus is there always");
    }
}

#[test]
fn an_answer_in_the_server_role_makes_us_the_client_for_good() {
    let (audio, video) = sources();
    let mut negotiation = negotiation();
    assert_eq!(negotiation.dtls_role(), DtlsRole::Server);
    negotiation.offer(&[pull(&audio, 10), pull(&video, 20)]).unwrap();
    let answer = sample("pion-answer-to-server-offer");
    assert_eq!(answer.sections[0].setup, Some(controlplane::sdp::Setup::Passive));
    assert_eq!(negotiation.accept_answer(&answer).unwrap().len(), 2);
    assert_eq!(negotiation.dtls_role(), DtlsRole::Client);
    // Another offer leaves the choice open, as RFC 8842 section 5.2 wants; the answer to it, and to
    // an offer of the client, changes nothing.
    let offered = negotiation.offer(&[pull(&audio, 30)]).unwrap();
    assert_eq!(offered.sdp.matches("a=setup:actpass").count(), 3);
    accepted(&mut negotiation, &turned(&offered.sdp));
    assert_eq!(negotiation.dtls_role(), DtlsRole::Client);
    let offer = turned(&offered.sdp).replace("a=setup:active", "a=setup:actpass");
    let answered = negotiation.answer(&Description::parse(&offer).unwrap(), &[]).unwrap();
    assert_eq!(answered.sdp.matches("a=setup:active").count(), 3, "{}", answered.sdp);
    // A new transport is a new handshake.
    negotiation.move_transport(transport("srv2"));
    let answered = negotiation.answer(&Description::parse(&offer).unwrap(), &[]).unwrap();
    assert_eq!(answered.sdp.matches("a=setup:passive").count(), 3);
}

#[test]
fn an_answer_must_pick_a_role_and_a_later_one_cannot_change_it() {
    let (audio, _) = sources();
    let mut first = negotiation();
    let offered = first.offer(&[pull(&audio, 10)]).unwrap();
    let open = turned(&offered.sdp).replace("a=setup:active", "a=setup:actpass");
    let error = first.accept_answer(&Description::parse(&open).unwrap()).unwrap_err();
    assert_eq!(error.kind, SdpErrorKind::Order);
    assert!(error.reason.contains("setup"), "{error}");
    assert!(first.offer_outstanding(), "a refused answer leaves the offer open");

    let mut later = negotiation();
    let offer = sample("pion-publish");
    later.answer(&offer, &[publish("0"), publish("1")]).unwrap();
    let offered = later.offer(&[pull(&audio, 10)]).unwrap();
    let answer = turned(&offered.sdp).replace("a=setup:active", "a=setup:passive");
    assert_eq!(accepted(&mut later, &answer).len(), 1);
    assert_eq!(later.dtls_role(), DtlsRole::Server);
}

#[test]
fn a_client_that_offers_as_server_is_answered_as_client() {
    let offer = text("chromium-publish-VP8").replace("a=setup:actpass", "a=setup:passive");
    let mut negotiation = negotiation();
    let answered = negotiation.answer(&Description::parse(&offer).unwrap(), &[]).unwrap();
    assert!(answered.sdp.contains("a=setup:active\r\n"), "{}", answered.sdp);
    assert_eq!(negotiation.dtls_role(), DtlsRole::Client);
}

#[test]
fn one_offer_at_a_time_and_no_answer_to_none() {
    let (audio, _) = sources();
    let mut negotiation = negotiation();
    let answer = sample("chromium-answer-to-server-offer");
    assert_eq!(negotiation.accept_answer(&answer).unwrap_err().kind, SdpErrorKind::Order);
    negotiation.offer(&[pull(&audio, 10)]).unwrap();
    assert_eq!(negotiation.offer(&[pull(&audio, 11)]).unwrap_err().kind, SdpErrorKind::Order);
    let offer = sample("chromium-publish-VP8");
    assert_eq!(negotiation.answer(&offer, &[]).unwrap_err().kind, SdpErrorKind::Order);
    assert_eq!(negotiation.accept_answer(&answer).unwrap_err().kind, SdpErrorKind::Order);
    negotiation.roll_back();
    assert!(!negotiation.offer_outstanding() && negotiation.sections().is_empty());
    assert!(negotiation.answer(&offer, &[publish("0")]).is_ok());
}

#[test]
fn a_rolled_back_mid_is_not_used_again() {
    let (audio, _) = sources();
    let mut negotiation = negotiation();
    assert_eq!(negotiation.offer(&[pull(&audio, 10)]).unwrap().mids, ["0"]);
    negotiation.roll_back();
    assert_eq!(negotiation.offer(&[pull(&audio, 10)]).unwrap().mids, ["1"]);
}

#[test]
fn a_refused_section_drops_its_subscription_and_its_place_is_used_again() {
    let (audio, video) = sources();
    let mut negotiation = negotiation();
    let offered = negotiation.offer(&[pull(&audio, 10), pull(&video, 20)]).unwrap();
    let answer =
        turned(&offered.sdp).replace("BUNDLE 0 1", "BUNDLE 0").replace("m=video 9", "m=video 0");
    let outcomes = accepted(&mut negotiation, &answer);
    assert!(matches!(outcomes[0].outcome, AcceptedOutcome::Receiving(_)));
    assert_eq!((outcomes[1].mid.as_str(), &outcomes[1].outcome), ("1", &AcceptedOutcome::Dropped));
    assert!(negotiation.section("1").unwrap().stopped);

    let offered = negotiation.offer(&[pull(&video, 30)]).unwrap();
    assert_eq!(offered.mids, ["2"]);
    assert_eq!(offered.sdp.matches("\r\nm=").count(), 2, "the section was reused");
    assert!(offered.sdp.contains("a=group:BUNDLE 0 2\r\n"));
    let outcomes = accepted(&mut negotiation, &turned(&offered.sdp));
    assert_eq!(outcomes.len(), 2);
    assert!(outcomes.iter().all(|o| matches!(o.outcome, AcceptedOutcome::Receiving(_))));
}

#[test]
fn an_inactive_answer_drops_the_subscription() {
    let (audio, video) = sources();
    let mut negotiation = negotiation();
    let offered = negotiation.offer(&[pull(&audio, 10), pull(&video, 20)]).unwrap();
    let answer = turned(&offered.sdp).replacen("a=recvonly", "a=inactive", 1);
    let outcomes = accepted(&mut negotiation, &answer);
    assert_eq!(outcomes[0].outcome, AcceptedOutcome::Dropped);
    assert_eq!(negotiation.section("0").unwrap().receives, None);
}

#[test]
fn numbers_the_client_offered_first_are_used_for_pulls() {
    let (audio, video) = sources();
    let mut negotiation = negotiation();
    let offer = sample("firefox-publish-audio-video");
    negotiation.answer(&offer, &[publish("0"), publish("1")]).unwrap();
    let offered = negotiation.offer(&[pull(&audio, 10), pull(&video, 20)]).unwrap();
    assert_eq!(offered.mids, ["2", "3"]);
    let description = Description::parse(&offered.sdp).unwrap();
    check_ids(&description);
    let (opus, vp8) = (section_text(&offered.sdp, 2), section_text(&offered.sdp, 3));
    assert!(opus.contains("a=rtpmap:109 opus/48000/2\r\n"), "{opus}");
    assert!(vp8.contains("a=rtpmap:120 VP8/90000\r\n") && vp8.contains("a=fmtp:124 apt=120\r\n"));
    assert!(opus.contains("a=extmap:3 urn:ietf:params:rtp-hdrext:sdes:mid\r\n"));
    // 2 means csrc-audio-level to this client, though we did not take it.
    assert!(!offered.sdp.contains("a=extmap:2 "));
    for payload in &description.sections[3].payloads {
        let clash = offer.sections.iter().flat_map(|s| &s.payloads).find(|known| {
            known.payload_type == payload.payload_type
                && !known.format.name.eq_ignore_ascii_case(&payload.format.name)
        });
        assert_eq!(clash, None);
    }
    // What the client publishes stays as it was.
    assert!(section_text(&offered.sdp, 0).contains("a=recvonly"));
    assert!(section_text(&offered.sdp, 1).contains("a=rtcp-fb:120 transport-cc"));
    let outcomes = accepted(&mut negotiation, &turned(&offered.sdp));
    assert_eq!(outcomes.len(), 2);
    assert!(negotiation.published("1").is_some());
}

#[test]
fn simulcast_of_a_publisher_stays_in_our_offers() {
    let (audio, _) = sources();
    let mut negotiation = negotiation();
    let answered = negotiation.answer(&sample("chromium-simulcast"), &[publish("0")]).unwrap();
    assert_eq!(published(&answered, 0).encodings.len(), 3);
    let offered = negotiation.offer(&[pull(&audio, 10)]).unwrap();
    assert!(section_text(&offered.sdp, 0).contains("a=simulcast:recv high;medium;low\r\n"));
    assert!(!section_text(&offered.sdp, 1).contains("a=simulcast"));
    accepted(&mut negotiation, &turned(&offered.sdp));
    assert_eq!(negotiation.published("0").unwrap().encodings.len(), 3);
}

#[test]
fn a_subscription_is_pointed_at_another_publication_without_a_description() {
    let (audio, video) = sources();
    let mut negotiation = negotiation();
    let offered = negotiation.offer(&[pull(&audio, 10), pull(&video, 20)]).unwrap();
    accepted(&mut negotiation, &turned(&offered.sdp));
    let other = source("firefox-publish-audio-video", "1");
    let mapping = negotiation.remap("1", &other).unwrap();
    assert_eq!(mapping.iter().find(|m| m.from == 120).unwrap().to, 96);
    assert_eq!(negotiation.receiving("1").unwrap().payloads, mapping);
    assert!(negotiation.remap("1", &audio).is_err());
    assert!(negotiation.remap("7", &other).is_err());
    let mut h265 = other.clone();
    h265.payloads.truncate(1);
    h265.payloads[0].format.name = "H265".into();
    assert!(negotiation.remap("1", &h265).is_err());
}

#[test]
fn sixty_four_pulls_fit_one_offer() {
    let (audio, video) = sources();
    let mut negotiation = negotiation();
    let pulls: Vec<_> =
        (0..64u32).map(|n| pull(if n % 2 == 0 { &audio } else { &video }, 1_000 + n * 2)).collect();
    let offered = negotiation.offer(&pulls).unwrap();
    assert_eq!(offered.mids.len(), 64);
    check_text(&offered.sdp);
    let outcomes = accepted(&mut negotiation, &turned(&offered.sdp));
    assert!(outcomes.iter().all(|o| matches!(o.outcome, AcceptedOutcome::Receiving(_))));
    let sound = |outcome: &&AcceptedOutcome| matches!(outcome, AcceptedOutcome::Receiving(section) if section.kind == MediaKind::Audio);
    assert_eq!(outcomes.iter().map(|o| &o.outcome).filter(sound).count(), 32);
}

#[test]
fn another_transport_is_announced_from_the_next_description_on() {
    let (audio, _) = sources();
    let mut negotiation = negotiation();
    let first = negotiation.offer(&[pull(&audio, 10)]).unwrap();
    accepted(&mut negotiation, &turned(&first.sdp));
    negotiation.set_transport(transport("srv2"));
    let second = negotiation.offer(&[pull(&audio, 12)]).unwrap();
    assert_eq!(second.sdp.matches("a=ice-ufrag:srv2\r\n").count(), 2);
    assert_ne!(first.sdp.lines().nth(1), second.sdp.lines().nth(1), "the version grows");
    let _ = text("chromium-publish-VP8");
}
