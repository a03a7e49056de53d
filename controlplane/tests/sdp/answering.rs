//! One offer, one answer.

use common::command::PublishedPayload;
use common::media::{Codec, Extension, MediaKind};
use controlplane::sdp::{Direction, WishError, WishOutcome};

use crate::support::{
    OFFERS, OTHER_OFFERS, answer, check_answer, close, negotiation, publish, published, receive,
    sample, section_text, source, text,
};

#[test]
fn every_recorded_offer_gets_a_valid_answer() {
    for name in OFFERS.into_iter().chain(OTHER_OFFERS) {
        let mut negotiation = negotiation();
        let offer = sample(name);
        let mids: Vec<_> = offer.sending().map(|section| publish(&section.mid)).collect();
        let answered = negotiation.answer(&offer, &mids).unwrap_or_else(|e| panic!("{name}: {e}"));
        check_answer(&offer, &answered.sdp);
        for outcome in &answered.outcomes {
            let Ok(WishOutcome::Published(published)) = outcome else {
                panic!("{name} {outcome:?}")
            };
            assert!(!published.payloads.is_empty() && !published.encodings.is_empty(), "{name}");
        }
        assert_eq!(
            answered.sdp.matches("a=setup:passive").count(),
            offer.sections.len(),
            "{name}: aiortc wants it of stopped sections too"
        );
        assert!(negotiation.remote_fingerprint().is_some(), "{name}");
    }
}

#[test]
fn chromium_publishes_with_all_its_codecs() {
    let mut negotiation = negotiation();
    let answered = answer(
        &mut negotiation,
        &text("chromium-publish-audio-video"),
        &[publish("0"), publish("1")],
    );
    let audio = published(&answered, 0);
    assert_eq!(audio.payloads[0].payload_type, 111);
    assert_eq!(audio.payloads[0].codec, Codec::Opus);
    let types: Vec<u8> = audio.payloads.iter().map(|p| p.payload_type).collect();
    assert_eq!(types, [111, 63, 9, 0, 8, 13, 110, 126]);
    let video = published(&answered, 1);
    assert_eq!(
        video.payloads[0],
        PublishedPayload {
            payload_type: 96,
            codec: Codec::Vp8,
            clock_rate: 90_000,
            rtx: Some(97),
            nack: true,
            pli: true,
            remb: false
        }
    );
    assert!(video.payloads.iter().all(|p| p.rtx.is_some()));
    assert!(!answered.sdp.contains("ulpfec") && !answered.sdp.contains("red/90000"));
    let text = section_text(&answered.sdp, 1);
    assert!(text.contains("a=rtcp-fb:96 transport-cc\r\n") && !text.contains("goog-remb"));
    assert!(
        text.contains("level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f")
    );
    assert!(text.contains("a=recvonly") && !text.contains("a=ssrc:"));
    let map = negotiation.extensions();
    assert_eq!(map.id(Extension::Mid), Some(4));
    assert_eq!(map.id(Extension::TransportCc), Some(3));
    assert_eq!(map.id(Extension::AbsSendTime), None, "not beside transport-cc");
    assert_eq!(map.id(Extension::TransmissionOffset), None);
}

#[test]
fn simulcast_is_answered_by_rid() {
    for (name, ssrcs) in [("chromium-simulcast", false), ("firefox-simulcast", true)] {
        let mut negotiation = negotiation();
        let answered = answer(&mut negotiation, &text(name), &[publish("0")]);
        assert!(
            answered.sdp.contains("a=rid:high recv\r\na=rid:medium recv\r\na=rid:low recv\r\n")
        );
        assert!(answered.sdp.contains("a=simulcast:recv high;medium;low\r\n"));
        let encodings = &published(&answered, 0).encodings;
        let rids: Vec<_> = encodings.iter().map(|e| e.rid.unwrap().as_bytes().to_vec()).collect();
        assert_eq!(rids, [b"high".to_vec(), b"medium".to_vec(), b"low".to_vec()]);
        assert!(
            encodings.iter().all(|e| e.ssrc.is_some() == ssrcs && e.rtx_ssrc.is_some() == ssrcs)
        );
    }
}

#[test]
fn firefox_layers_have_their_own_ssrcs() {
    let mut negotiation = negotiation();
    let answered = answer(&mut negotiation, &text("firefox-simulcast"), &[publish("0")]);
    let pairs: Vec<_> =
        published(&answered, 0).encodings.iter().map(|e| (e.ssrc, e.rtx_ssrc)).collect();
    assert_eq!(
        pairs,
        [
            (Some(175_193_653), Some(110_606_776)),
            (Some(2_745_575_704), Some(1_987_501_776)),
            (Some(319_462_571), Some(842_387_632))
        ]
    );
}

/// Chromium's simulcast offer with other encodings.
fn simulcast_offer(rids: &[&str], streams: &str) -> String {
    let lines: String = rids.iter().map(|rid| format!("a=rid:{rid} send\r\n")).collect();
    let recorded = "a=rid:high send\r\na=rid:medium send\r\na=rid:low send\r\n\
                    a=simulcast:send high;medium;low\r\n";
    let offer = text("chromium-simulcast");
    assert!(offer.contains(recorded));
    offer.replace(recorded, &format!("{lines}a=simulcast:send {streams}\r\n"))
}

#[test]
fn encodings_may_have_any_names_in_any_number() {
    let nine = ["1", "2", "3", "4", "5", "6", "7", "8", "9"];
    let cases: [(&[&str], &str, &str); 8] = [
        (&["a", "b"], "a;b", "a;b"),
        (&["f", "h", "q"], "f;h;q", "f;h;q"),
        (&["q", "h", "f"], "q;~h;f", "q;h;f"),
        (&["high", "medium", "low"], "~high;~medium;~low", "high;medium;low"),
        (&["a", "b", "c"], "a,b;~c", "a;c"),
        (&["b"], "a,~b;c", "b"),
        (&["a", "b"], "a;a,b", "a;b"),
        (&nine, "1;2;3;4;5;6;7;8;9", "1;2;3;4;5;6;7;8"),
    ];
    for (rids, streams, taken) in cases {
        let mut negotiation = negotiation();
        let answered = answer(&mut negotiation, &simulcast_offer(rids, streams), &[publish("0")]);
        assert!(answered.sdp.contains(&format!("a=simulcast:recv {taken}\r\n")), "{streams}");
        let encodings = &published(&answered, 0).encodings;
        let label = |e: &common::command::Encoding| {
            String::from_utf8_lossy(e.rid.unwrap().as_bytes()).into_owned()
        };
        assert_eq!(encodings.iter().map(label).collect::<Vec<_>>().join(";"), taken);
        for rid in taken.split(';') {
            assert!(answered.sdp.contains(&format!("a=rid:{rid} recv\r\n")), "{streams}");
        }
        let map = negotiation.extensions();
        assert_eq!((map.id(Extension::Rid), map.id(Extension::RepairedRid)), (Some(10), Some(11)));
        assert_eq!(map.id(Extension::DependencyDescriptor), Some(13));
        assert_eq!(map.id(Extension::VideoLayersAllocation), Some(14));
    }
}

#[test]
fn simulcast_without_the_rid_extension_is_not_answered() {
    let offer = text("chromium-simulcast").replace("sdes:rtp-stream-id", "sdes:x-stream-id");
    let mut negotiation = negotiation();
    let answered = answer(&mut negotiation, &offer, &[publish("0")]);
    assert!(!answered.sdp.contains("a=simulcast") && !answered.sdp.contains("a=rid"));
    assert_eq!(published(&answered, 0).encodings.len(), 1);
}

#[test]
fn media_without_rtp_is_rejected_under_its_own_name() {
    let offer = text("chromium-publish-VP8") + "m=message 9 TCP/MSRP *\r\na=mid:m\r\n";
    let mut negotiation = negotiation();
    let answered = answer(&mut negotiation, &offer, &[publish("m"), publish("0")]);
    assert!(answered.outcomes[0].is_err() && answered.outcomes[1].is_ok());
    assert!(section_text(&answered.sdp, 1).starts_with("m=message 0 TCP/MSRP *\r\n"));
}

#[test]
fn unnamed_sections_are_answered_too() {
    let mut negotiation = negotiation();
    let offer = sample("chromium-publish-audio-video");
    assert_eq!(negotiation.unpublished(&offer), ["0", "1"]);
    let answered = answer(&mut negotiation, &text("chromium-publish-audio-video"), &[publish("1")]);
    assert!(section_text(&answered.sdp, 0).contains("a=recvonly"));
    assert_eq!(negotiation.unpublished(&offer), ["0"]);
    let view = negotiation.section("0").unwrap();
    assert!(!view.publishes && view.direction == Direction::RecvOnly);
    assert_eq!(view.kind, Some(MediaKind::Audio));
    assert!(negotiation.published("0").is_some(), "its facts are there for a later publish");
}

#[test]
fn a_second_section_outside_the_group_is_rejected() {
    let offer = text("chromium-publish-audio-video").replacen("BUNDLE 0 1", "BUNDLE 0", 1);
    let mut negotiation = negotiation();
    let answered = answer(&mut negotiation, &offer, &[publish("0"), publish("1")]);
    assert_eq!(answered.outcomes[1], Err(WishError::NoSection));
    assert!(answered.sdp.contains("a=group:BUNDLE 0\r\n"));
}

#[test]
fn no_rtcp_mux_no_section() {
    let offer = text("chromium-publish-VP8").replace("a=rtcp-mux\r\n", "");
    let mut negotiation = negotiation();
    let answered = answer(&mut negotiation, &offer, &[publish("0")]);
    assert_eq!(answered.outcomes[0], Err(WishError::NoSection));
}

#[test]
fn ids_above_fourteen_are_not_accepted() {
    let offer = text("chromium-publish-VP8").replace("a=extmap:9 ", "a=extmap:15 ");
    let mut negotiation = negotiation();
    let answered = answer(&mut negotiation, &offer, &[publish("0")]);
    assert!(!answered.sdp.contains("a=extmap:15"));
    assert_eq!(negotiation.extensions().id(Extension::Mid), None);
}

#[test]
fn a_client_receives_on_its_own_receive_sections() {
    let (audio, video) =
        (source("firefox-publish-audio-video", "0"), source("firefox-publish-audio-video", "1"));
    let mut negotiation = negotiation();
    let wishes = [receive(None, &video, 20), receive(None, &audio, 10), receive(None, &video, 30)];
    let answered = answer(&mut negotiation, &text("chromium-recvonly-audio-video"), &wishes);
    let Ok(WishOutcome::Receiving(got)) = &answered.outcomes[0] else { panic!() };
    assert_eq!((got.mid.as_str(), got.ssrc, got.rtx_ssrc), ("1", 20, Some(21)));
    let vp8 = got.payloads.iter().find(|m| m.from == 120).unwrap();
    assert_eq!((vp8.to, vp8.rtx), (96, Some(97)));
    let Ok(WishOutcome::Receiving(got)) = &answered.outcomes[1] else { panic!() };
    assert_eq!(got.mid, "0");
    assert_eq!(got.payloads.iter().find(|m| m.from == 109).unwrap().to, 111);
    assert_eq!(got.rtx_ssrc, None, "Chromium offers no RTX for Opus");
    assert_eq!(answered.outcomes[2], Err(WishError::NoFreeSection));
    let video = section_text(&answered.sdp, 1);
    assert!(video.contains("a=sendonly\r\na=msid:stream-20 track-20\r\n"));
    assert!(video.contains("a=ssrc-group:FID 20 21\r\na=ssrc:20 cname:stream-20\r\n"));
    assert!(video.contains("a=rtcp-fb:96 transport-cc\r\n"));
    assert!(section_text(&answered.sdp, 0).contains("a=rtcp-fb:111 transport-cc\r\n"));
    assert_eq!(answered.sdp.matches("a=extmap:3 http://www.ietf.org/id/draft-holmer").count(), 2);
    assert!(negotiation.transport_feedback());
    assert!(!video.contains("rtp-stream-id") && !video.contains("goog-remb"));
    assert!(video.contains("a=rtcp-fb:96 nack pli\r\n"));
}

#[test]
fn kinds_directions_and_codecs_must_fit() {
    let audio = source("chromium-publish-audio-video", "0");
    let av1 = source("chromium-publish-AV1", "0");
    let mut negotiation = negotiation();
    let wishes = [
        receive(Some("1"), &audio, 1),
        receive(Some("0"), &audio, 3),
        receive(Some("9"), &audio, 5),
        publish("9"),
        close("9"),
        publish("0"),
    ];
    let answered = answer(
        &mut negotiation,
        &text("gstreamer-publish").replace("audio0", "0").replace("video1", "1"),
        &wishes,
    );
    assert_eq!(answered.outcomes[0], Err(WishError::Kind));
    assert_eq!(answered.outcomes[1], Err(WishError::Direction));
    assert_eq!(answered.outcomes[2], Err(WishError::NoSection));
    assert_eq!(answered.outcomes[3], Err(WishError::NoSection));
    assert_eq!(answered.outcomes[4], Err(WishError::NoSection));
    assert!(answered.outcomes[5].is_ok());
    let mut only_vp8 = crate::support::negotiation();
    let offer = text("gstreamer-publish").replace("sendonly", "recvonly");
    let mut av1 = av1;
    av1.payloads.retain(|p| p.format.codec() == Codec::Av1);
    let answered = answer(&mut only_vp8, &offer, &[receive(None, &av1, 1), publish("audio0")]);
    assert_eq!(answered.outcomes[0], Err(WishError::NoCommonCodec));
    assert_eq!(answered.outcomes[1], Err(WishError::Direction));
    assert!(section_text(&answered.sdp, 1).contains("a=inactive"));
}

#[test]
fn both_ways_in_one_section() {
    let media = source("firefox-publish-audio-video", "1");
    let mut negotiation = negotiation();
    let wishes = [publish("1"), receive(Some("1"), &media, 40)];
    let answered = answer(&mut negotiation, &text("chromium-sendrecv-audio-video"), &wishes);
    assert!(answered.outcomes.iter().all(Result::is_ok), "{:?}", answered.outcomes);
    assert!(section_text(&answered.sdp, 1).contains("a=sendrecv"));
}

#[test]
fn two_sections_never_show_one_msid() {
    let media = source("chromium-publish-audio-video", "1");
    let second = text("chromium-recvonly-audio-video");
    let video = second[second.find("m=video").unwrap()..].replace("a=mid:1", "a=mid:2");
    let offer = format!("{second}{video}").replacen("BUNDLE 0 1", "BUNDLE 0 1 2", 1);
    let same = |ssrc| match receive(None, &media, ssrc) {
        controlplane::sdp::Wish::Receive { mid, media, ssrc, rtx_ssrc, .. } => {
            controlplane::sdp::Wish::Receive {
                mid,
                media,
                ssrc,
                rtx_ssrc,
                msid: crate::support::msid("x"),
            }
        }
        other => other,
    };
    let mut negotiation = negotiation();
    let answered = answer(&mut negotiation, &offer, &[same(1), same(3)]);
    assert!(answered.outcomes.iter().all(Result::is_ok));
    assert!(answered.sdp.contains("a=msid:stream-x track-x\r\n"));
    assert!(answered.sdp.contains("a=msid:stream-x track-x-2\r\n"));
}

#[test]
fn remb_is_answered_only_where_transport_wide_feedback_is_not() {
    let congestion = |offer: &str| {
        let answered = answer(&mut negotiation(), offer, &[publish("0"), publish("1")]);
        let remb = |index| published(&answered, index).payloads.iter().any(|p| p.remb);
        let has = |word: &str| answered.sdp.contains(word);
        (remb(0), remb(1), has("goog-remb"), has(" transport-cc"), has("transport-wide-cc"))
    };
    let chromium = text("chromium-publish-audio-video");
    assert_eq!(congestion(&chromium), (false, false, false, true, true));
    assert_eq!(congestion(&text("firefox-publish-audio-video")), (false, false, false, true, true));
    let aiortc = congestion(&text("aiortc-publish"));
    assert_eq!(aiortc, (false, true, true, false, false));
    // Half of it is nothing.
    let numbers_only = chromium.replace(" transport-cc", " x-cc");
    assert_eq!(congestion(&numbers_only), (false, true, true, false, false));
    let messages_only = chromium.replace("transport-wide-cc", "x-wide-cc");
    assert_eq!(congestion(&messages_only), (false, true, true, false, false));
}

#[test]
fn send_times_come_with_remb() {
    let mut negotiation = negotiation();
    answer(&mut negotiation, &text("aiortc-publish"), &[publish("1")]);
    assert!(negotiation.extensions().id(Extension::AbsSendTime).is_some());
}

#[test]
fn a_client_that_reads_no_transport_wide_numbers_gets_none() {
    let video = source("firefox-publish-audio-video", "1");
    let offer = text("chromium-recvonly-audio-video").replace("transport-wide-cc", "x-wide-cc");
    let mut negotiation = negotiation();
    let answered = answer(&mut negotiation, &offer, &[receive(None, &video, 20)]);
    assert!(answered.outcomes[0].is_ok());
    assert!(!answered.sdp.contains("transport-cc") && !answered.sdp.contains("goog-remb"));
    assert!(!negotiation.transport_feedback());
}

#[test]
fn publishing_alone_brings_no_feedback_on_what_is_sent() {
    let mut negotiation = negotiation();
    answer(&mut negotiation, &text("chromium-sendrecv-audio-video"), &[publish("1")]);
    assert!(!negotiation.transport_feedback());
    let video = source("firefox-publish-audio-video", "1");
    let wishes = [receive(Some("1"), &video, 20)];
    answer(&mut negotiation, &text("chromium-sendrecv-audio-video"), &wishes);
    assert!(negotiation.transport_feedback());
}

#[test]
fn audio_has_no_nack_unless_the_client_offers_it() {
    let offer = text("chromium-publish-audio-video");
    let insisting = offer.replace(
        "a=rtcp-fb:111 transport-cc\r\n",
        "a=rtcp-fb:111 transport-cc\r\na=rtcp-fb:111 nack\r\n",
    );
    assert_ne!(offer, insisting);
    for (offer, expected) in [(offer, false), (insisting, true)] {
        let answered = answer(&mut negotiation(), &offer, &[publish("0")]);
        let opus = published(&answered, 0).payloads[0];
        assert_eq!((opus.payload_type, opus.nack), (111, expected));
        assert_eq!(section_text(&answered.sdp, 0).contains(" nack\r\n"), expected);
    }
}

#[test]
fn red_is_answered_in_the_client_s_order() {
    let opus_first = text("chromium-publish-audio-video");
    let red_first = opus_first.replacen("SAVPF 111 63 ", "SAVPF 63 111 ", 1);
    assert_ne!(opus_first, red_first);
    for (offer, order) in [(opus_first, [111, 63]), (red_first, [63, 111])] {
        let answered = answer(&mut negotiation(), &offer, &[publish("0")]);
        let line = format!(" {} {} ", order[0], order[1]);
        assert!(section_text(&answered.sdp, 0).lines().next().unwrap().contains(&line));
        let audio = published(&answered, 0);
        assert_eq!([audio.payloads[0].payload_type, audio.payloads[1].payload_type], order);
        assert!(audio.payloads.iter().any(|p| p.codec == Codec::Red && p.payload_type == 63));
    }
}

#[test]
fn red_goes_whole_only_to_who_takes_it_under_the_same_numbers() {
    let audio = source("chromium-publish-audio-video", "0");
    let mapped = |offer: &str| {
        let answered = answer(&mut negotiation(), offer, &[receive(None, &audio, 10)]);
        let Ok(WishOutcome::Receiving(got)) = &answered.outcomes[0] else { panic!() };
        let to = |from| got.payloads.iter().find(|m| m.from == from).map(|m| m.to);
        (to(111), to(63))
    };
    let offer = text("chromium-recvonly-audio-video");
    assert_eq!(mapped(&offer), (Some(111), Some(63)));
    let renumbered = offer
        .replacen(" 111 63 ", " 105 63 ", 1)
        .replace(":111 ", ":105 ")
        .replace("111/111", "105/105");
    assert_eq!(mapped(&renumbered), (Some(105), None), "blocks of RED name 111");
    assert_eq!(mapped(&text("firefox-recvonly-audio-video")), (Some(109), None));
}
