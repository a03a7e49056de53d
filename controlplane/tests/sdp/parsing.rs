//! What the parser reads, forgives and refuses.

use controlplane::sdp::{Description, Direction, SdpErrorKind, Setup};

use crate::support::{OFFERS, OTHER_OFFERS, sample, text};

#[test]
fn every_recorded_description_is_read() {
    let directory = format!("{}/tests/fixtures/sdp", env!("CARGO_MANIFEST_DIR"));
    let mut read = 0;
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let description = Description::parse(&text);
        let description = description.unwrap_or_else(|error| panic!("{path:?}: {error}"));
        assert_eq!(description.sections.len(), text.matches("\nm=").count(), "{path:?}");
        assert!(description.transport_section().is_some());
        read += 1;
    }
    assert!(read >= OFFERS.len() + OTHER_OFFERS.len());
}

#[test]
fn chromium_offer_in_detail() {
    let offer = sample("chromium-sendrecv-audio-video");
    assert_eq!(offer.bundle, ["0", "1"]);
    assert!(offer.extmap_allow_mixed);
    let audio = &offer.sections[0];
    assert_eq!((audio.mid.as_str(), audio.direction), ("0", Direction::SendRecv));
    assert_eq!(audio.setup, Some(Setup::ActPass));
    assert_eq!(audio.ice.as_ref().unwrap().ufrag, "NUKD");
    assert_eq!(audio.fingerprint.unwrap()[..3], [0xa6, 0x47, 0x92]);
    assert_eq!(audio.ssrcs, [3_418_533_340]);
    let opus = &audio.payloads[0];
    assert_eq!((opus.payload_type, opus.format.channels), (111, 2));
    assert_eq!(opus.format.parameters, "minptime=10;useinbandfec=1");
    let video = &offer.sections[1];
    assert_eq!(video.fid_groups, [(423_721_906, 3_048_944_556)]);
    assert_eq!(video.payloads.len(), 23);
    assert_eq!(video.payloads[0].feedback.len(), 5);
}

#[test]
fn firefox_session_level_attributes_hold_for_its_sections() {
    let offer = sample("firefox-publish-audio-video");
    let video = &offer.sections[1];
    assert!(video.zero_port && !video.stopped, "port 0 with bundle-only is a live section");
    assert!(video.fingerprint.is_some());
    assert!(video.ice.is_some());
    let answer = sample("firefox-answer-to-server-offer");
    assert_eq!(answer.sections[0].setup, Some(Setup::Active));
    let simulcast = sample("firefox-simulcast");
    assert_eq!(simulcast.sections[0].simulcast_send, ["high", "medium", "low"]);
    let recvonly: Vec<_> = simulcast.sections[0]
        .extensions
        .iter()
        .filter(|e| e.direction == Direction::RecvOnly)
        .collect();
    assert_eq!(recvonly.len(), 1);
}

#[test]
fn the_sha_256_fingerprint_is_taken_among_several() {
    let offer = sample("aiortc-publish");
    assert_eq!(offer.sections[0].fingerprint.unwrap()[..2], [0xfd, 0x65]);
}

#[test]
fn line_ends_are_forgiven() {
    let text = text("chromium-publish-audio-video");
    let reference = Description::parse(&text).unwrap();
    let lf = text.replace("\r\n", "\n");
    assert_eq!(Description::parse(&lf).unwrap(), reference);
    assert_eq!(Description::parse(lf.trim_end()).unwrap(), reference);
    assert_eq!(Description::parse(text.trim_end()).unwrap(), reference);
    assert_eq!(Description::parse(&format!("{text}\r\n")).unwrap(), reference);
}

/// Changes one line of a Chromium offer and expects a refusal that names the line.
fn refused(from: &str, to: &str, reason: &str) {
    let text = text("chromium-publish-audio-video");
    assert!(text.contains(from), "{from} is not in the sample");
    let changed = text.replacen(from, to, 1);
    let error = Description::parse(&changed).expect_err(reason);
    assert_eq!(error.kind, SdpErrorKind::Malformed);
    assert!(error.reason.contains(reason), "{error}");
    let last = to.lines().last().unwrap();
    let line = changed.lines().position(|line| line.starts_with(last)).unwrap() + 1;
    // A line that now stands twice is faulty where it stands the second time.
    let line = if to.contains('\n') { line + 1 } else { line };
    assert_eq!(error.line, Some(line), "{error}");
}

#[test]
fn faults_are_refused_with_their_line() {
    let fingerprint = text("chromium-publish-audio-video");
    let fingerprint =
        fingerprint.lines().find(|l| l.starts_with("a=fingerprint")).unwrap().to_owned();
    refused("a=mid:0", "a=mid:12345678901234567", "16");
    refused("a=mid:1", "a=mid:a b", "token");
    refused("a=setup:actpass", "a=setup:holdconn", "setup");
    refused("a=rtpmap:111 opus/48000/2", "a=rtpmap:128 opus/48000/2", "0 to 127");
    refused("a=rtpmap:111 opus/48000/2", "a=rtpmap:111 opus", "rtpmap");
    refused("a=extmap:1 urn", "a=extmap:0 urn", "");
    refused(&fingerprint, "a=fingerprint:sha-256 AA:BB", "32 bytes");
    refused(
        &fingerprint,
        &fingerprint.replace(':', ".:").replace("fingerprint.", "fingerprint"),
        "32",
    );
    refused("a=rtcp-mux", "a=rid:a send\r\na=rid:a send", "twice");
    refused("a=rtcp-mux", "a=ssrc:99999999999 cname:x", "SSRC");
}

#[test]
fn ids_out_of_range_are_refused() {
    let text = text("chromium-publish-audio-video");
    for id in ["0", "256", "4096", "-1", "x"] {
        let changed = text.replacen("a=extmap:1 ", &format!("a=extmap:{id} "), 1);
        assert_ne!(changed, text);
        assert!(Description::parse(&changed).is_err(), "id {id}");
    }
    let changed = text.replacen("a=extmap:1 ", "a=extmap:255 ", 1);
    assert!(Description::parse(&changed).is_ok());
    for payload_type in ["128", "255", "256", "x"] {
        let changed = text.replacen("SAVPF 111 ", &format!("SAVPF {payload_type} "), 1);
        assert!(Description::parse(&changed).is_err(), "payload type {payload_type}");
    }
}

#[test]
fn sections_without_dtls_or_ice_are_refused() {
    let text = text("chromium-publish-audio-video");
    let cases = [
        text.replacen("UDP/TLS/RTP/SAVPF", "RTP/AVP", 1),
        text.replacen("UDP/TLS/RTP/SAVPF", "RTP/SAVPF", 1),
        text.replace("a=fingerprint:sha-256 ", "a=fingerprint:sha-1 "),
        text.replace("a=ice-pwd:", "a=x-pwd:"),
        text.replace("a=ice-ufrag:", "a=x-ufrag:"),
        text.replacen("a=mid:0\r\n", "", 1),
        text.replacen("a=mid:1", "a=mid:0", 1),
    ];
    for (index, case) in cases.iter().enumerate() {
        assert_ne!(*case, text);
        let error = Description::parse(case).expect_err(&format!("case {index}"));
        assert!(error.line.is_some(), "case {index}: {error}");
    }
}

#[test]
fn stopped_sections_need_neither_ice_nor_fingerprint() {
    let stopped = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n\
                   m=video 0 UDP/TLS/RTP/SAVPF 120\r\na=inactive\r\na=mid:1\r\n";
    let description = Description::parse(stopped).unwrap();
    assert!(description.sections[0].stopped);
}

#[test]
fn bounds_hold() {
    let head = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n";
    let section = "m=video 0 UDP/TLS/RTP/SAVPF 96\r\n";
    assert!(Description::parse(&format!("{head}{}", section.repeat(256))).is_ok());
    assert!(Description::parse(&format!("{head}{}", section.repeat(257))).is_err());
    assert!(Description::parse(&format!("{head}{}", "a=x\r\n".repeat(16_380))).is_ok());
    assert!(Description::parse(&format!("{head}{}", "a=x\r\n".repeat(16_381))).is_err());
    assert!(Description::parse(&format!("{head}a={}\r\n", "x".repeat(4_094))).is_ok());
    assert!(Description::parse(&format!("{head}a={}\r\n", "x".repeat(4_095))).is_err());
    let maps: String = (0..128).map(|n| format!("a=rtpmap:{n} a/1\r\n")).collect();
    let wide = format!("m=video 0 UDP/TLS/RTP/SAVPF 96\r\n{maps}");
    assert!(Description::parse(&format!("{head}{}", wide.repeat(64))).is_ok());
    assert!(Description::parse(&format!("{head}{}", wide.repeat(65))).is_err());
    let filler = format!("a={}\r\n", "x".repeat(1_000)).repeat(521);
    assert!(Description::parse(&format!("{head}{filler}")).is_ok());
    assert!(Description::parse(&format!("{head}{filler}{filler}")).is_err());
    assert!(Description::parse(&"a".repeat(512 * 1024 + 1)).is_err());
}
