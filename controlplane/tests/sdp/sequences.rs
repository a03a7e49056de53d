//! Whole sessions: what partytracks and browsers do one after the other on one connection. The
//! order of calls is that of the recorded traffic; the texts are cut from recorded offers.

use common::media::Extension;
use controlplane::sdp::{AcceptedOutcome, Description, Negotiation, SdpErrorKind, WishOutcome};

use crate::offering::turned;
use crate::support::{
    answer, check_ids, close, negotiation, publish, published, pull, receive, sample, section_text,
    source, text, transport,
};

/// A description cut into its head and its sections.
pub(crate) struct Parts {
    pub(crate) head: String,
    pub(crate) sections: Vec<String>,
}

impl Parts {
    pub(crate) fn of(sdp: &str) -> Self {
        let mut parts = sdp.split("\r\nm=");
        let head = format!("{}\r\n", parts.next().unwrap());
        let sections =
            parts.map(|part| format!("m={}\r\n", part.trim_end_matches("\r\n"))).collect();
        Self { head, sections }
    }

    /// Text with this group; sections not in it must be stopped ones.
    pub(crate) fn join(&self, group: &str) -> String {
        let start = self.head.find("a=group:BUNDLE").unwrap();
        let end = start + self.head[start..].find("\r\n").unwrap();
        let head = format!("{}a=group:BUNDLE {group}{}", &self.head[..start], &self.head[end..]);
        format!("{head}{}", self.sections.concat())
    }
}

/// What a browser's transceiver looks like in an offer after `stop()`.
pub(crate) fn stopped(section: &str) -> String {
    let mut words: Vec<&str> = section.splitn(3, ' ').collect();
    words[1] = "0";
    let mut text = words.join(" ");
    for direction in ["a=sendonly", "a=recvonly", "a=sendrecv"] {
        text = text.replace(direction, "a=inactive");
    }
    text
}

pub(crate) fn with_mid(section: &str, from: &str, to: &str) -> String {
    section.replace(&format!("a=mid:{from}\r\n"), &format!("a=mid:{to}\r\n"))
}

/// A subscriber's own offer after it answered ours.
fn reoffer(our_offer: &str) -> Parts {
    Parts::of(&turned(our_offer).replace("a=setup:active", "a=setup:actpass"))
}

#[test]
fn push_push_close_and_push_again_in_the_freed_section() {
    let base = Parts::of(&text("chromium-publish-audio-video"));
    let (audio, video) = (base.sections[0].clone(), base.sections[1].clone());
    let mut negotiation = negotiation();

    let one = Parts { head: base.head.clone(), sections: vec![audio.clone()] }.join("0");
    let first = answer(&mut negotiation, &one, &[publish("0")]);
    assert!(first.sdp.contains("a=group:BUNDLE 0\r\n"));
    // The same push again, as after a lost reply.
    let again = answer(&mut negotiation, &one, &[publish("0")]);
    assert_eq!(published(&first, 0), published(&again, 0));

    let two = base.join("0 1");
    let second = answer(&mut negotiation, &two, &[publish("1")]);
    assert!(second.sdp.contains("a=group:BUNDLE 0 1\r\n"));
    assert!(negotiation.section("0").unwrap().publishes, "the earlier publication stays");

    let closing = Parts { head: base.head.clone(), sections: vec![audio.clone(), stopped(&video)] };
    let closed = answer(&mut negotiation, &closing.join("0"), &[close("1")]);
    assert_eq!(closed.outcomes, [Ok(WishOutcome::Closed)]);
    assert_eq!(closed.ended, ["1"]);
    assert!(section_text(&closed.sdp, 1).starts_with("m=video 0 UDP/TLS/RTP/SAVPF "));
    assert!(section_text(&closed.sdp, 1).contains("a=inactive"));

    let sections = vec![audio, with_mid(&video, "1", "2")];
    let third = Parts { head: base.head, sections }.join("0 2");
    assert!(!negotiation.bundle_tag_moved(&Description::parse(&third).unwrap()));
    let again = answer(&mut negotiation, &third, &[publish("2")]);
    assert_eq!(published(&again, 0).mid, "2");
    assert_eq!(negotiation.section("1"), None);
    assert_eq!(negotiation.section("2").unwrap().index, 1);
}

#[test]
fn stopping_the_first_section_moves_the_transport() {
    let base = Parts::of(&text("chromium-publish-audio-video"));
    let mut negotiation = negotiation();
    answer(&mut negotiation, &base.join("0 1"), &[publish("0"), publish("1")]);
    let sections = vec![stopped(&base.sections[0]), base.sections[1].clone()];
    let offer = Parts { head: base.head.clone(), sections: sections.clone() }.join("1");
    assert!(negotiation.bundle_tag_moved(&Description::parse(&offer).unwrap()));
    negotiation.set_transport(transport("srv2"));
    let answered = answer(&mut negotiation, &offer, &[close("0")]);
    assert!(answered.sdp.contains("a=group:BUNDLE 1\r\n"));
    assert!(section_text(&answered.sdp, 1).contains("a=ice-ufrag:srv2"));
    assert!(!negotiation.bundle_tag_moved(&Description::parse(&offer).unwrap()));
    // Chromium takes the freed first place for its next track: the group's first member changes.
    let sections = vec![with_mid(&base.sections[0], "0", "2"), sections[1].clone()];
    let offer = Parts { head: base.head, sections }.join("2 1");
    assert!(negotiation.bundle_tag_moved(&Description::parse(&offer).unwrap()));
    let answered = answer(&mut negotiation, &offer, &[publish("2")]);
    assert!(answered.sdp.contains("a=group:BUNDLE 2 1\r\n"));
    assert!(!negotiation.bundle_tag_moved(&Description::parse(&offer).unwrap()));
}

#[test]
fn a_place_before_the_transport_is_not_reused_by_our_offers() {
    let base = Parts::of(&text("chromium-publish-audio-video"));
    let mut negotiation = negotiation();
    answer(&mut negotiation, &base.join("0 1"), &[]);
    let sections = vec![stopped(&base.sections[0]), base.sections[1].clone()];
    answer(&mut negotiation, &Parts { head: base.head, sections }.join("1"), &[]);
    let media = source("chromium-publish-audio-video", "0");
    let offered = negotiation.offer(&[pull(&media, 10)]).unwrap();
    assert!(offered.sdp.contains("a=group:BUNDLE 1 2\r\n"));
    assert_eq!(offered.sdp.matches("\r\nm=").count(), 3);
}

#[test]
fn a_batch_close_names_more_than_it_stops() {
    let audio = source("chromium-publish-audio-video", "0");
    let video = source("chromium-publish-audio-video", "1");
    let mut negotiation = negotiation();
    let offered =
        negotiation.offer(&[pull(&audio, 10), pull(&video, 20), pull(&video, 30)]).unwrap();
    negotiation.accept_answer(&Description::parse(&turned(&offered.sdp)).unwrap()).unwrap();

    // Three closed in one tick: the first transceiver stopped, the others still offered.
    let mut parts = reoffer(&offered.sdp);
    parts.sections[0] = stopped(&parts.sections[0]);
    let offer = parts.join("1 2");
    let answered = answer(&mut negotiation, &offer, &[close("0"), close("1"), close("7")]);
    assert_eq!(answered.outcomes[..2], [Ok(WishOutcome::Closed), Ok(WishOutcome::Closed)]);
    assert!(answered.outcomes[2].is_err());
    let second = section_text(&answered.sdp, 1);
    assert!(second.starts_with("m=video 9 ") && second.contains("a=inactive"));
    assert!(section_text(&answered.sdp, 2).contains("a=sendonly"));
    assert_eq!(negotiation.section("1").unwrap().receives, None);
    assert_eq!(negotiation.section("2").unwrap().receives, Some(30));
    assert!(answered.sdp.contains("a=group:BUNDLE 1 2\r\n"));

    // Pulling again: a new section, the closed one stays inactive in our offer.
    let offered = negotiation.offer(&[pull(&video, 40)]).unwrap();
    assert_eq!(offered.mids, ["3"]);
    assert!(section_text(&offered.sdp, 1).contains("a=inactive"));
    let outcomes = negotiation.accept_answer(&Description::parse(&turned(&offered.sdp)).unwrap());
    let mids: Vec<_> = outcomes.unwrap().into_iter().map(|o| o.mid).collect();
    assert_eq!(mids, ["2", "3"]);
}

#[test]
fn a_forced_close_shows_in_the_next_descriptions_until_named_again() {
    let offer = text("chromium-publish-audio-video");
    let mut negotiation = negotiation();
    answer(&mut negotiation, &offer, &[publish("0"), publish("1")]);
    assert!(negotiation.close_mid("0"));
    assert!(!negotiation.close_mid("5"));
    assert_eq!(negotiation.published("0"), None);
    let answered = answer(&mut negotiation, &offer, &[]);
    assert!(section_text(&answered.sdp, 0).contains("a=inactive"));
    assert!(section_text(&answered.sdp, 1).contains("a=recvonly"));
    let answered = answer(&mut negotiation, &offer, &[publish("0")]);
    assert!(section_text(&answered.sdp, 0).contains("a=recvonly"));
}

#[test]
fn a_forced_close_reaches_an_open_offer() {
    let audio = source("chromium-publish-audio-video", "0");
    let mut negotiation = negotiation();
    let offered = negotiation.offer(&[pull(&audio, 10), pull(&audio, 20)]).unwrap();
    assert!(negotiation.close_mid("1"));
    let answer = Description::parse(&turned(&offered.sdp)).unwrap();
    let outcomes = negotiation.accept_answer(&answer).unwrap();
    assert_eq!(outcomes.len(), 1, "only the other one is a subscription now: {outcomes:?}");
}

#[test]
fn pushes_and_pulls_alternate_on_one_connection() {
    let media = source("firefox-publish-audio-video", "1");
    let base = Parts::of(&text("chromium-publish-audio-video"));
    let mut negotiation = negotiation();
    let one = Parts { head: base.head.clone(), sections: vec![base.sections[0].clone()] };
    answer(&mut negotiation, &one.join("0"), &[publish("0")]);
    let offered = negotiation.offer(&[pull(&media, 20)]).unwrap();
    assert_eq!(offered.mids, ["1"]);
    let theirs = turned(&offered.sdp);
    let outcomes = negotiation.accept_answer(&Description::parse(&theirs).unwrap()).unwrap();
    assert!(matches!(outcomes[0].outcome, AcceptedOutcome::Receiving(_)));

    // The browser then adds its camera behind the pulled section.
    let received = reoffer(&offered.sdp).sections[1].clone();
    let camera = with_mid(&base.sections[1], "1", "2");
    let all = Parts { head: base.head, sections: vec![base.sections[0].clone(), received, camera] };
    let offer = all.join("0 1 2");
    check_ids(&Description::parse(&offer).unwrap());
    let answered = answer(&mut negotiation, &offer, &[publish("2")]);
    assert_eq!(published(&answered, 0).mid, "2");
    assert_eq!(answered.sdp.matches("a=setup:passive").count(), 3);
    assert!(section_text(&answered.sdp, 1).contains("a=sendonly"));
    assert_eq!(negotiation.receiving("1").unwrap().ssrc, 20);
    assert_eq!(negotiation.extensions().id(Extension::Mid), Some(4));
}

#[test]
fn ids_do_not_change_when_a_client_offers_others_later() {
    let mut negotiation = negotiation();
    answer(&mut negotiation, &text("chromium-publish-audio-video"), &[]);
    let before = negotiation.extensions();
    let changed = text("chromium-publish-audio-video")
        .replace("a=extmap:4 ", "a=extmap:12 ")
        .replace("a=extmap:3 ", "a=extmap:4 ")
        .replace("a=extmap:12 ", "a=extmap:3 ");
    let answered = answer(&mut negotiation, &changed, &[]);
    assert_eq!(negotiation.extensions(), before);
    assert!(!answered.sdp.contains("sdes:mid"), "an extension that moved is left out");
    let moved = text("chromium-publish-audio-video").replace("a=extmap:4 ", "a=extmap:12 ");
    let answered = answer(&mut negotiation, &moved, &[]);
    assert_eq!(negotiation.extensions(), before);
    assert!(!answered.sdp.contains("sdes:mid"), "also when it moved to a free id");
}

#[test]
fn an_ice_restart_is_seen() {
    for browser in ["chromium", "firefox"] {
        let mut negotiation = negotiation();
        let before = sample(&format!("{browser}-reoffer-second-stopped"));
        let restart = sample(&format!("{browser}-reoffer-ice-restart"));
        assert!(!negotiation.remote_ice_changed(&before), "nothing to compare with");
        negotiation.answer(&before, &[publish("0")]).unwrap();
        assert!(!negotiation.remote_ice_changed(&before));
        assert!(negotiation.remote_ice_changed(&restart), "{browser}");
        assert!(!negotiation.bundle_tag_moved(&restart));
        negotiation.answer(&restart, &[]).unwrap();
        assert!(!negotiation.remote_ice_changed(&restart));
    }
}

#[test]
fn sections_may_not_vanish_or_change() {
    let base = Parts::of(&text("chromium-publish-audio-video"));
    let mut negotiation = negotiation();
    answer(&mut negotiation, &base.join("0 1"), &[publish("0"), publish("1")]);
    let fewer =
        Parts { head: base.head.clone(), sections: vec![base.sections[0].clone()] }.join("0");
    let swapped: Vec<_> = base.sections.iter().rev().cloned().collect();
    let swapped = Parts { head: base.head.clone(), sections: swapped }.join("0 1");
    let renamed = vec![base.sections[0].clone(), with_mid(&base.sections[1], "1", "9")];
    let renamed = Parts { head: base.head, sections: renamed }.join("0 9");
    for offer in [fewer, swapped, renamed] {
        let before = format!("{negotiation:?}");
        let error = negotiation.answer(&Description::parse(&offer).unwrap(), &[]).unwrap_err();
        assert_eq!(error.kind, SdpErrorKind::Order);
        assert_eq!(format!("{negotiation:?}"), before, "a refused offer changes nothing");
    }
}

#[test]
fn a_subscriber_reoffers_and_keeps_what_it_receives() {
    let media = source("firefox-publish-audio-video", "1");
    let mut negotiation = negotiation();
    let offer = text("chromium-recvonly-audio-video");
    answer(&mut negotiation, &offer, &[receive(Some("1"), &media, 20)]);
    let before = negotiation.receiving("1").unwrap();
    let answered = answer(&mut negotiation, &offer, &[]);
    assert_eq!(negotiation.receiving("1").unwrap(), before);
    assert!(section_text(&answered.sdp, 1).contains("a=ssrc:20 cname:"));
    let end = answer(&mut negotiation, &offer, &[close("1")]);
    assert!(!end.sdp.contains("a=ssrc:"));
    let again = answer(&mut negotiation, &offer, &[receive(None, &media, 30)]);
    let Ok(WishOutcome::Receiving(got)) = &again.outcomes[0] else { panic!() };
    assert_eq!((got.mid.as_str(), got.ssrc), ("1", 30), "a closed section serves again");
}

#[test]
fn a_section_of_ours_keeps_its_numbers_when_the_client_offers_its_own() {
    let (audio, video) =
        (source("chromium-publish-audio-video", "0"), source("chromium-publish-audio-video", "1"));
    let mut negotiation = negotiation();
    let offered = negotiation.offer(&[pull(&audio, 10), pull(&video, 20)]).unwrap();
    negotiation.accept_answer(&Description::parse(&turned(&offered.sdp)).unwrap()).unwrap();
    let before = negotiation.receiving("0").unwrap();
    // aiortc's numbers: Opus on 96 and VP8 on 97, which were VP8 and its RTX stream.
    let own = text("aiortc-publish").replace("a=sendonly", "a=recvonly");
    let own = Description::parse(&own).unwrap();
    let answered = negotiation.answer(&own, &[close("1")]).unwrap();
    let kept = section_text(&answered.sdp, 0);
    assert!(kept.starts_with("m=audio 9 UDP/TLS/RTP/SAVPF 111 9 0 8\r\n"), "{kept}");
    let after = negotiation.receiving("0").unwrap();
    assert!(after.payloads.iter().all(|payload| before.payloads.contains(payload)), "{after:?}");
    assert_eq!(after.payloads[0].to, 111);
    let picture = section_text(&answered.sdp, 1);
    assert!(picture.contains("a=rtpmap:96 VP8/90000\r\n"), "{picture}");
    assert!(picture.contains("a=fmtp:97 apt=96\r\n") && !picture.contains("VP9"), "{picture}");

    let offered = negotiation.offer(&[pull(&video, 30)]).unwrap();
    let opus = |sdp: &str| sdp.matches("a=rtpmap:111 opus/48000/2\r\n").count();
    assert_eq!((opus(&offered.sdp), offered.sdp.contains("a=rtpmap:96 opus")), (1, false));
}

#[test]
fn all_sections_of_firefox_stop_at_once() {
    let base = Parts::of(&text("firefox-publish-audio-video"));
    let mut negotiation = negotiation();
    answer(&mut negotiation, &text("firefox-publish-audio-video"), &[publish("0"), publish("1")]);
    let fingerprint = negotiation.remote_fingerprint();
    let bare = |kind: &str, mid: &str| {
        format!(
            "m={kind} 0 UDP/TLS/RTP/SAVPF 120\r\nc=IN IP4 0.0.0.0\r\na=inactive\r\na=mid:{mid}\r\n"
        )
    };
    let head = base.head.lines().filter(|line| !line.starts_with("a=group"));
    let head: String = head.map(|line| format!("{line}\r\n")).collect();
    let offer = format!("{head}{}{}", bare("audio", "0"), bare("video", "1"));
    let answered = answer(&mut negotiation, &offer, &[close("0"), close("1")]);
    assert_eq!(answered.ended, ["0", "1"]);
    assert!(!answered.sdp.contains("a=group"));
    assert_eq!(negotiation.remote_fingerprint(), fingerprint);

    // The next pull starts a new transport in the first freed section.
    assert!(negotiation.transport_ended());
    negotiation.set_transport(transport("srv2"));
    let media = source("chromium-publish-audio-video", "1");
    let offered = negotiation.offer(&[pull(&media, 10), pull(&media, 20), pull(&media, 30)]);
    let offered = offered.unwrap();
    assert_eq!(offered.sdp.matches("\r\nm=").count(), 3);
    assert!(offered.sdp.contains("a=group:BUNDLE 2 3 4\r\n"));
    let outcomes = negotiation.accept_answer(&Description::parse(&turned(&offered.sdp)).unwrap());
    assert_eq!(outcomes.unwrap().len(), 3);
    assert!(!negotiation.transport_ended());
}

/// A late check that a `Negotiation` can be cloned and driven apart.
#[test]
fn a_clone_lives_its_own_life() {
    let mut one = negotiation();
    let copy: Negotiation = one.clone();
    answer(&mut one, &text("werift-publish"), &[publish("0")]);
    assert!(copy.sections().is_empty());
}
