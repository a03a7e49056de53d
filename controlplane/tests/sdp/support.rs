//! Fixtures and the checks every answer must pass, written as a browser's rules and apart from
//! the code under test.

use std::collections::{BTreeMap, BTreeSet};

use controlplane::sdp::{
    Answered, Ask, Description, LocalTransport, Msid, Negotiation, PublishedSection, Pull, Sctp,
    Section, SectionKind, SendHalf, SourceMedia, Wish, WishOutcome,
};

/// Every recorded offer.
pub(crate) const OFFERS: [&str; 27] = [
    "aiortc-publish",
    "chromium-bundle-balanced",
    "chromium-datachannel-only",
    "chromium-publish-AV1",
    "chromium-publish-H264",
    "chromium-publish-VP8",
    "chromium-publish-VP9",
    "chromium-publish-and-datachannel",
    "chromium-publish-audio-video",
    "chromium-recvonly-audio-video",
    "chromium-reoffer-ice-restart",
    "chromium-reoffer-second-stopped",
    "chromium-sendrecv-audio-video",
    "chromium-simulcast",
    "firefox-bundle-balanced",
    "firefox-datachannel-only",
    "firefox-publish-AV1",
    "firefox-publish-VP8",
    "firefox-publish-VP9",
    "firefox-publish-and-datachannel",
    "firefox-publish-audio-video",
    "firefox-recvonly-audio-video",
    "firefox-reoffer-ice-restart",
    "firefox-reoffer-second-stopped",
    "firefox-sendrecv-audio-video",
    "firefox-simulcast",
    "gstreamer-publish",
];

/// The recorded offers of smaller stacks.
pub(crate) const OTHER_OFFERS: [&str; 3] = ["pion-publish", "werift-publish", "wrtc-publish"];

/// Text of a fixture.
pub(crate) fn text(name: &str) -> String {
    let path = format!("{}/tests/fixtures/sdp/{name}.sdp", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A parsed fixture.
pub(crate) fn sample(name: &str) -> Description {
    Description::parse(&text(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

pub(crate) fn transport(ufrag: &str) -> LocalTransport {
    LocalTransport {
        ufrag: ufrag.to_owned(),
        pwd: "0123456789abcdef0123456789abcdef".to_owned(),
        fingerprint: [0xab; 32],
        candidates: vec!["192.0.2.1:1473".parse().unwrap(), "[2001:db8::1]:1473".parse().unwrap()],
    }
}

pub(crate) fn negotiation() -> Negotiation {
    Negotiation::new(transport("srv1"), 0x1234_5678_9abc_def0)
}

pub(crate) fn publish(mid: &str) -> Wish {
    Wish::Publish { mid: mid.to_owned(), send: None }
}

/// Our half of a section, kept for a later pull.
pub(crate) fn half(ssrc: u32) -> SendHalf {
    SendHalf { ssrc, rtx_ssrc: Some(ssrc + 1), msid: msid(&ssrc.to_string()) }
}

pub(crate) fn close(mid: &str) -> Wish {
    Wish::Close { mid: mid.to_owned() }
}

pub(crate) fn msid(name: &str) -> Msid {
    Msid { stream: format!("stream-{name}"), track: format!("track-{name}") }
}

pub(crate) fn receive(mid: Option<&str>, media: &SourceMedia, ssrc: u32) -> Wish {
    Wish::Receive {
        mid: mid.map(str::to_owned),
        media: media.clone(),
        ssrc,
        rtx_ssrc: Some(ssrc + 1),
        msid: msid(&ssrc.to_string()),
    }
}

pub(crate) fn pull(media: &SourceMedia, ssrc: u32) -> Ask {
    pull_onto(None, media, ssrc)
}

pub(crate) fn pull_onto(mid: Option<&str>, media: &SourceMedia, ssrc: u32) -> Ask {
    let (mid, msid) = (mid.map(str::to_owned), msid(&ssrc.to_string()));
    Ask::Pull(Pull { mid, media: media.clone(), ssrc, rtx_ssrc: Some(ssrc + 1), msid })
}

/// The publication a wish made.
pub(crate) fn published(answered: &Answered, wish: usize) -> &PublishedSection {
    match &answered.outcomes[wish] {
        Ok(WishOutcome::Published(published)) => published,
        other => panic!("wish {wish}: {other:?}"),
    }
}

/// What one section of a fresh offer publishes.
pub(crate) fn source(name: &str, mid: &str) -> SourceMedia {
    let mut negotiation = negotiation();
    let answered = negotiation.answer(&sample(name), &[publish(mid)]).unwrap();
    published(&answered, 0).media.clone()
}

/// Answers an offer and checks the answer.
pub(crate) fn answer(negotiation: &mut Negotiation, offer: &str, wishes: &[Wish]) -> Answered {
    let offer = Description::parse(offer).unwrap();
    let answered = negotiation.answer(&offer, wishes).unwrap();
    check_answer(&offer, &answered.sdp);
    answered
}

/// The text of one section of a description.
pub(crate) fn section_text(sdp: &str, index: usize) -> String {
    let mut parts = sdp.split("\r\nm=").skip(1 + index);
    format!("m={}\r\n", parts.next().unwrap())
}

/// Rules of RFC 3264, 8829, 8853 and 9143 that browsers check on an answer.
pub(crate) fn check_answer(offer: &Description, sdp: &str) {
    check_text(sdp);
    let answer = Description::parse(sdp).unwrap_or_else(|error| panic!("{error}\n{sdp}"));
    assert_eq!(answer.sections.len(), offer.sections.len(), "as many sections as offered");
    for (asked, given) in offer.sections.iter().zip(&answer.sections) {
        assert_eq!((&asked.media, &asked.mid), (&given.media, &given.mid));
        assert_eq!(asked.protocol, given.protocol);
        let grouped = answer.bundle.contains(&given.mid);
        if asked.stopped {
            assert!(given.stopped, "section {} was stopped by the offer", given.mid);
        }
        if given.stopped {
            assert!(!grouped, "rejected section {} is in the group", given.mid);
            assert_eq!(given.direction.name(), "inactive");
            assert!(!given.formats.is_empty());
            continue;
        }
        assert!(
            grouped || offer.bundle.is_empty(),
            "live section {} is not in the group",
            given.mid
        );
        check_live(asked, given);
    }
    let offered: BTreeSet<&String> = offer.bundle.iter().collect();
    assert!(answer.bundle.iter().all(|mid| offered.contains(mid)), "group beyond the offered one");
    check_ids(&answer);
}

fn check_live(asked: &Section, given: &Section) {
    let mid = &given.mid;
    if given.kind == SectionKind::Application {
        return check_application(asked, given);
    }
    assert!(!given.direction.sends() || asked.direction.receives(), "{mid} sends unasked");
    assert!(!given.direction.receives() || asked.direction.sends(), "{mid} receives unasked");
    assert!(given.rtcp_mux, "{mid} without rtcp-mux");
    assert!(!given.rtcp_rsize || asked.rtcp_rsize);
    assert!(!given.payloads.is_empty(), "{mid} without codecs");
    for payload in &given.payloads {
        let same = asked.payloads.iter().find(|p| p.payload_type == payload.payload_type);
        let same = same.unwrap_or_else(|| panic!("{mid}: {} not offered", payload.payload_type));
        assert_eq!(same.format, payload.format, "{mid}: a codec changed its meaning");
        assert!(payload.feedback.iter().all(|f| same.feedback.contains(f)), "{mid}: feedback");
    }
    for extension in &given.extensions {
        let same = |e: &&_| e == &extension;
        let by_id =
            asked.extensions.iter().find(|e| e.id == extension.id && e.uri == extension.uri);
        assert!(asked.extensions.iter().find(same).or(by_id).is_some(), "{mid}: {extension:?}");
        assert!(extension.id <= 14);
    }
}

/// RFC 8841: SCTP is taken where it was offered, and both sides name their port and limit.
fn check_application(asked: &Section, given: &Section) {
    assert!(asked.sctp.is_some(), "{}: SCTP was not offered", given.mid);
    assert_eq!(given.sctp, Some(Sctp { port: 5_000, max_message_size: 262_144 }));
    assert_eq!(given.formats, ["webrtc-datachannel"]);
    assert!(given.payloads.is_empty() && given.extensions.is_empty() && given.ssrcs.is_empty());
    assert!(!given.rtcp_mux, "RTP attributes in an application section");
}

/// Rules on the text of any description of ours.
pub(crate) fn check_text(sdp: &str) {
    assert!(sdp.ends_with("\r\n") && !sdp.replace("\r\n", "").contains(['\r', '\n']));
    assert!(sdp.contains("\r\na=ice-lite\r\n"));
    assert!(!sdp.contains("a=simulcast:send"), "simulcast is never sent");
    let mut msids = BTreeSet::new();
    for (index, part) in sdp.split("\r\nm=").enumerate().skip(1) {
        if part.split(' ').nth(1) == Some("0") {
            continue;
        }
        for needed in ["a=ice-ufrag:", "a=ice-pwd:", "a=fingerprint:sha-256 ", "a=setup:"] {
            assert!(part.contains(needed), "section {index} without {needed}");
        }
        assert!(part.contains("a=candidate:1 1 udp 2130706431 192.0.2.1 1473 typ host"));
        assert!(part.contains("a=candidate:2 1 udp 2130706175 2001:db8::1 1473 typ host"));
        assert!(part.contains("\r\na=end-of-candidates\r\n"));
        let simulcast = part.contains("a=simulcast:recv") || part.contains("a=rid:");
        assert!(!simulcast || part.contains("sdes:rtp-stream-id"), "simulcast without RID");
        if let Some(line) = part.lines().find(|line| line.starts_with("a=msid:")) {
            assert!(msids.insert(line.to_owned()), "{line} twice");
        }
    }
}

/// An extension id means one thing in the whole group (RFC 9143 section 9.2).
pub(crate) fn check_ids(description: &Description) {
    let mut ids: BTreeMap<u8, &str> = BTreeMap::new();
    for extension in description.sections.iter().flat_map(|section| &section.extensions) {
        let known = ids.entry(extension.id).or_insert(&extension.uri);
        assert_eq!(*known, extension.uri, "id {} has two meanings", extension.id);
    }
}
