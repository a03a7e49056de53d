//! The application section: answered in its place, offered by us, closed, reused, carrying the
//! transport of the group. RFC 8841, RFC 9143.

use common::command::SctpFacts;
use controlplane::sdp::{Description, Negotiation, SdpErrorKind};
use proptest::prelude::*;

use crate::offering::turned;
use crate::sequences::{Parts, stopped, with_mid};
use crate::support::{
    answer, check_answer, check_text, close, negotiation, publish, pull, receive, sample,
    section_text, source, text, transport,
};

const CHROMIUM: SctpFacts =
    SctpFacts { port: 5_000, max_message_size: 262_144, server_events: false };
const FIREFOX: SctpFacts = SctpFacts { max_message_size: 1_073_741_823, ..CHROMIUM };

/// A client's answer that takes our offered application section as the last one.
fn taken(offer: &str) -> Description {
    Description::parse(&turned(offer)).unwrap()
}

/// The parts of Chromium's offer of audio, video and data.
fn three() -> Parts {
    Parts::of(&text("chromium-publish-and-datachannel"))
}

#[test]
fn an_application_section_is_answered_in_its_place() {
    for (name, index, group, facts) in [
        ("chromium-datachannel-only", 0, "0", CHROMIUM),
        ("chromium-publish-and-datachannel", 2, "0 1 2", CHROMIUM),
        ("firefox-datachannel-only", 0, "0", FIREFOX),
        ("firefox-publish-and-datachannel", 2, "0 1 2", FIREFOX),
    ] {
        let mut negotiation = negotiation();
        assert!(sample(name).has_channels(), "{name}");
        let answered = answer(&mut negotiation, &text(name), &[]);
        let section = section_text(&answered.sdp, index);
        let start = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\n";
        assert!(section.starts_with(start), "{name}: {section}");
        assert!(section.contains("\r\na=sctp-port:5000\r\na=max-message-size:262144\r\n"));
        assert!(section.contains("\r\na=setup:passive\r\n") && !section.contains("a=rtcp"));
        assert!(answered.sdp.contains(&format!("a=group:BUNDLE {group}\r\n")), "{name}");
        assert_eq!(negotiation.sctp(), Some(facts), "{name}");
        assert_eq!(negotiation.section(&index.to_string()).unwrap().kind, None);
    }
    assert!(!sample("chromium-publish-audio-video").has_channels());
}

#[test]
fn what_the_client_leaves_out_has_its_defaults() {
    let offer = text("chromium-datachannel-only");
    let facts = |from: &str, to: &str| {
        let mut negotiation = negotiation();
        answer(&mut negotiation, &offer.replace(from, to), &[]);
        negotiation.sctp()
    };
    let with = |port, max_message_size| Some(SctpFacts { port, max_message_size, ..CHROMIUM });
    let size = "a=max-message-size:262144\r\n";
    assert_eq!(facts(size, ""), with(5_000, 65_536));
    assert_eq!(facts(size, "a=max-message-size:0\r\n"), with(5_000, 0));
    assert_eq!(
        facts(size, &format!("a=max-message-size:{}\r\n", "9".repeat(60))),
        with(5_000, u32::MAX)
    );
    assert_eq!(facts("a=sctp-port:5000\r\n", ""), with(5_000, 262_144));
    assert_eq!(facts("a=sctp-port:5000", "a=sctp-port:9999"), with(9_999, 262_144));
    // Port 0 ends an association; older drafts wrote the port where the format stands.
    assert_eq!(facts("a=sctp-port:5000", "a=sctp-port:0"), None);
    assert_eq!(facts("webrtc-datachannel", "5000"), None);
    assert_eq!(facts("UDP/DTLS/SCTP", "DTLS/SCTP"), None);
    assert!(facts("UDP/DTLS/SCTP", "TCP/DTLS/SCTP").is_some());
}

#[test]
fn bad_numbers_are_refused_with_their_line() {
    let offer = text("chromium-datachannel-only");
    for (from, to) in [
        ("sctp-port:5000", "sctp-port:65536"),
        ("sctp-port:5000", "sctp-port:-1"),
        ("sctp-port:5000", "sctp-port:"),
        ("max-message-size:262144", "max-message-size:-5"),
        ("max-message-size:262144", "max-message-size:1e9"),
        ("max-message-size:262144", "max-message-size"),
    ] {
        let error = Description::parse(&offer.replace(from, to)).unwrap_err();
        assert!(error.kind == SdpErrorKind::Malformed && error.line > Some(20), "{to}: {error}");
    }
}

#[test]
fn a_second_application_section_is_rejected_wherever_it_stands() {
    let mut parts = Parts::of(&text("chromium-datachannel-only"));
    let first = parts.sections[0].clone();
    parts.sections.push(with_mid(&first, "0", "1"));
    let mut negotiation = negotiation();
    let answered = answer(&mut negotiation, &parts.join("0 1"), &[]);
    assert!(answered.sdp.contains("a=group:BUNDLE 0\r\n"));
    assert!(section_text(&answered.sdp, 1).starts_with("m=application 0 "));
    // The one the session has stays, also when a new one comes before it.
    let parts = Parts { sections: vec![stopped(&first), with_mid(&first, "0", "1")], ..parts };
    answer(&mut negotiation, &parts.join("1"), &[]);
    let sections = vec![with_mid(&first, "0", "2"), with_mid(&first, "0", "1")];
    let answered = answer(&mut negotiation, &Parts { sections, ..parts }.join("2 1"), &[]);
    assert!(answered.sdp.contains("a=group:BUNDLE 1\r\n"), "{}", answered.sdp);
}

#[test]
fn a_section_outside_the_group_gets_no_transport() {
    let offer = three().join("0 1");
    let mut negotiation = negotiation();
    assert!(!Description::parse(&offer).unwrap().has_channels());
    let answered = answer(&mut negotiation, &offer, &[publish("0"), publish("1")]);
    assert!(section_text(&answered.sdp, 2).starts_with("m=application 0 UDP/DTLS/SCTP "));
    assert_eq!(negotiation.sctp(), None);
}

#[test]
fn media_comes_and_goes_beside_data() {
    let base = three();
    let data = with_mid(&base.sections[2], "2", "0");
    let (audio, video) =
        (with_mid(&base.sections[0], "0", "1"), with_mid(&base.sections[1], "1", "2"));
    let mut negotiation = negotiation();
    let with = |sections: Vec<String>, group: &str| {
        Parts { head: base.head.clone(), sections }.join(group)
    };
    answer(&mut negotiation, &with(vec![data.clone()], "0"), &[]);
    let offer = with(vec![data.clone(), audio.clone()], "0 1");
    assert!(!negotiation.bundle_tag_moved(&Description::parse(&offer).unwrap()));
    answer(&mut negotiation, &offer, &[publish("1")]);
    // Pulls by our offer keep the section where it is.
    let offered = negotiation.offer(&[pull(&source("chromium-publish-VP8", "0"), 9)]).unwrap();
    check_text(&offered.sdp);
    assert!(offered.sdp.contains("a=group:BUNDLE 0 1 2\r\n"));
    let section = section_text(&offered.sdp, 0);
    assert!(section.contains("a=setup:actpass\r\n") && section.contains("a=sctp-port:5000\r\n"));
    negotiation.roll_back();
    let offer = with(vec![data.clone(), audio, video.clone()], "0 1 2");
    answer(&mut negotiation, &offer, &[publish("2")]);
    let offer =
        with(vec![data, stopped(&base.sections[0]).replace("a=mid:0", "a=mid:1"), video], "0 2");
    let answered = answer(&mut negotiation, &offer, &[close("1")]);
    assert_eq!(answered.ended, ["1"]);
    assert_eq!(negotiation.sctp(), Some(CHROMIUM));
}

#[test]
fn data_carries_the_transport_when_all_media_ended() {
    let Parts { head, sections } = three();
    let [audio, video, data] = sections.try_into().unwrap();
    let with = |sections: &[&String], group: &str| {
        let sections = sections.iter().map(|section| (*section).clone()).collect();
        Parts { head: head.clone(), sections }.join(group)
    };
    let moved = |negotiation: &Negotiation, offer: &str| {
        negotiation.bundle_tag_moved(&Description::parse(offer).unwrap())
    };
    let mut negotiation = negotiation();
    let all = with(&[&audio, &video, &data], "0 1 2");
    answer(&mut negotiation, &all, &[publish("0"), publish("1")]);
    let first = with(&[&stopped(&audio), &video, &data], "1 2");
    assert!(moved(&negotiation, &first));
    negotiation.set_transport(transport("srv2"));
    let answered = answer(&mut negotiation, &first, &[close("0")]);
    assert!(section_text(&answered.sdp, 2).contains("a=ice-ufrag:srv2"));
    let both = with(&[&stopped(&audio), &stopped(&video), &data], "2");
    assert!(moved(&negotiation, &both), "the application section is the first of the group now");
    negotiation.set_transport(transport("srv3"));
    let answered = answer(&mut negotiation, &both, &[close("1")]);
    assert!(answered.sdp.contains("a=group:BUNDLE 2\r\n") && !negotiation.transport_ended());
    assert!(!moved(&negotiation, &both));
    assert_eq!(negotiation.sctp(), Some(CHROMIUM));
    // Data is stopped too, and comes back under another mid.
    let none = with(&[&stopped(&audio), &stopped(&video), &stopped(&data)], "");
    let answered = answer(&mut negotiation, &none, &[]);
    assert!(!answered.sdp.contains("a=group:BUNDLE"));
    assert!(negotiation.sctp().is_none() && negotiation.transport_ended());
    let again = with(&[&stopped(&audio), &stopped(&video), &with_mid(&data, "2", "3")], "3");
    answer(&mut negotiation, &again, &[]);
    assert_eq!(negotiation.section("3").unwrap().index, 2);
    assert_eq!(negotiation.sctp(), Some(CHROMIUM));
}

#[test]
fn our_offer_brings_the_section_and_server_events() {
    let mut negotiation = negotiation();
    let offered = negotiation.offer_channels().unwrap();
    check_text(&offered.sdp);
    assert_eq!(offered.mids, ["0"]);
    assert!(offered.sdp.contains("a=group:BUNDLE 0\r\n"));
    let section = section_text(&offered.sdp, 0);
    assert!(section.starts_with("m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n"));
    assert!(section.contains("\r\na=setup:actpass\r\n"));
    assert_eq!(negotiation.sctp(), None, "the answer decides");
    assert_eq!(negotiation.offer_channels().unwrap_err().kind, SdpErrorKind::Order);
    assert_eq!(negotiation.accept_answer(&taken(&offered.sdp)).unwrap(), []);
    assert_eq!(negotiation.sctp(), Some(SctpFacts { server_events: true, ..CHROMIUM }));
    assert_eq!(negotiation.offer_channels().unwrap_err().kind, SdpErrorKind::Order);
    // A later offer of the client, and one of ours, leave it as it is.
    let parts = Parts::of(&turned(&offered.sdp).replace("a=setup:active", "a=setup:actpass"));
    let video = with_mid(&Parts::of(&text("chromium-publish-VP8")).sections[0], "0", "1");
    let sections = vec![parts.sections[0].clone(), video];
    answer(&mut negotiation, &Parts { sections, ..parts }.join("0 1"), &[publish("1")]);
    let offered = negotiation.offer(&[pull(&source("chromium-publish-VP8", "0"), 9)]).unwrap();
    negotiation.accept_answer(&taken(&offered.sdp)).unwrap();
    assert!(negotiation.sctp().unwrap().server_events);
}

#[test]
fn our_offer_goes_behind_media_and_into_a_freed_place() {
    let base = Parts::of(&text("chromium-publish-audio-video"));
    let mut negotiation = negotiation();
    answer(&mut negotiation, &base.join("0 1"), &[publish("0"), publish("1")]);
    let offered = negotiation.offer_channels().unwrap();
    assert!(offered.sdp.contains("a=group:BUNDLE 0 1 2\r\n"));
    negotiation.roll_back();
    let sections = vec![base.sections[0].clone(), stopped(&base.sections[1])];
    answer(&mut negotiation, &Parts { head: base.head, sections }.join("0"), &[close("1")]);
    let offered = negotiation.offer_channels().unwrap();
    assert_eq!(offered.mids, ["3"], "a rolled-back mid stays spent");
    assert!(offered.sdp.contains("a=group:BUNDLE 0 3\r\n"));
    assert!(section_text(&offered.sdp, 1).starts_with("m=application 9 "));
    negotiation.accept_answer(&taken(&offered.sdp)).unwrap();
    assert!(negotiation.sctp().is_some());
}

#[test]
fn a_refused_offer_leaves_the_session_without_data() {
    for (from, to) in [
        ("m=application 9", "m=application 0"),
        ("a=group:BUNDLE 0 1", "a=group:BUNDLE 0"),
        ("a=sctp-port:5000", "a=sctp-port:0"),
    ] {
        let mut negotiation = negotiation();
        answer(&mut negotiation, &text("chromium-publish-VP8"), &[publish("0")]);
        let offered = negotiation.offer_channels().unwrap();
        let refusing = turned(&offered.sdp).replace(from, to);
        let accepted = negotiation.accept_answer(&Description::parse(&refusing).unwrap());
        assert_eq!(accepted, Ok(vec![]), "{to}");
        assert!(negotiation.sctp().is_none() && negotiation.section("1").unwrap().stopped, "{to}");
        let again = negotiation.offer_channels().unwrap();
        assert!(section_text(&again.sdp, 1).starts_with("m=application 9 "), "{to}");
        assert_eq!(again.mids, ["2"]);
    }
}

#[test]
fn an_ice_restart_of_a_session_with_data_only_is_seen() {
    let mut negotiation = negotiation();
    let offer = text("chromium-datachannel-only");
    answer(&mut negotiation, &offer, &[]);
    let restarted = offer.replace("a=ice-ufrag:gLJt", "a=ice-ufrag:gLJu");
    assert!(negotiation.remote_ice_changed(&Description::parse(&restarted).unwrap()));
}

#[test]
fn wishes_for_an_application_section_are_refused() {
    let media = source("chromium-publish-audio-video", "0");
    let mut negotiation = negotiation();
    let wishes = [publish("2"), receive(Some("2"), &media, 9)];
    let answered = answer(&mut negotiation, &text("chromium-publish-and-datachannel"), &wishes);
    assert!(answered.outcomes.iter().all(Result::is_err));
    assert!(negotiation.sctp().is_some());
}

/// What a client does next with its three sections.
#[derive(Clone, Debug)]
enum Step {
    /// Stops the section at a place, or revives it under a fresh mid.
    Toggle(usize),
    /// We offer data channels; the client takes or refuses them.
    Offer(bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![(0usize..3).prop_map(Step::Toggle), any::<bool>().prop_map(Step::Offer)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// However sections come and go, every answer fits its offer, and there is SCTP exactly while
    /// the client's application section lives.
    #[test]
    fn data_is_there_while_its_section_lives(steps in proptest::collection::vec(step(), 1..12)) {
        let Parts { head, sections } = three();
        let mut negotiation = negotiation();
        // Per place: the mid and whether it lives.
        let mut places = ["0", "1", "2"].map(|mid| (mid.to_owned(), true));
        for (count, step) in steps.into_iter().enumerate() {
            if let Step::Toggle(at) = step {
                let (mid, lives) = places[at].clone();
                places[at] = if lives { (mid, false) } else { (format!("n{count}"), true) };
            }
            let show = |(at, section): (usize, &String)| {
                let (mid, lives) = &places[at];
                let section = with_mid(section, &at.to_string(), mid);
                if *lives { section } else { stopped(&section) }
            };
            let shown: Vec<String> = sections.iter().enumerate().map(show).collect();
            let group: Vec<&str> =
                places.iter().filter(|(_, lives)| *lives).map(|(mid, _)| mid.as_str()).collect();
            let offer = Parts { head: head.clone(), sections: shown }.join(&group.join(" "));
            let parsed = Description::parse(&offer).unwrap();
            let answered = negotiation.answer(&parsed, &[]).unwrap();
            check_answer(&parsed, &answered.sdp);
            prop_assert_eq!(negotiation.sctp().is_some(), places[2].1);
            if let Step::Offer(takes) = step {
                let offered = negotiation.offer_channels();
                prop_assert_eq!(offered.is_ok(), !places[2].1);
                let Ok(offered) = offered else { continue };
                check_text(&offered.sdp);
                if takes {
                    negotiation.accept_answer(&taken(&offered.sdp)).unwrap();
                    prop_assert!(negotiation.sctp().is_some());
                    return Ok(());
                }
                negotiation.roll_back();
            }
        }
    }
}
