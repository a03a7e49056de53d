//! Our descriptions read by another stack: str0m takes our offers and answers, and writes its own.

use std::time::Instant;

use controlplane::sdp::{AcceptedOutcome, Description, Negotiation};
use str0m::Rtc;
use str0m::change::{SdpAnswer, SdpOffer};
use str0m::media::{Direction, MediaKind};

use crate::support::{check_answer, negotiation, publish, published, pull, source};

/// A client with a host candidate of its own.
fn client() -> Rtc {
    let mut rtc = Rtc::builder().build(Instant::now());
    let address = "192.0.2.77:5000".parse().unwrap();
    rtc.add_local_candidate(str0m::Candidate::host(address, "udp").unwrap());
    rtc
}

/// One more audio and video track from the client.
fn push(ours: &mut Negotiation, theirs: &mut Rtc) {
    let mut change = theirs.sdp_api();
    change.add_media(MediaKind::Audio, Direction::SendOnly, None, None, None);
    change.add_media(MediaKind::Video, Direction::SendOnly, None, None, None);
    let (offer, pending) = change.apply().unwrap();
    let offer = Description::parse(&offer.to_sdp_string()).unwrap();
    let mids = ours.unpublished(&offer);
    assert_eq!(mids.len(), 2);
    let answered = ours.answer(&offer, &[publish(&mids[0]), publish(&mids[1])]).unwrap();
    check_answer(&offer, &answered.sdp);
    assert!(!published(&answered, 1).payloads.is_empty());
    let answer = SdpAnswer::from_sdp_string(&answered.sdp).unwrap();
    theirs.sdp_api().accept_answer(pending, answer).unwrap();
}

#[test]
fn another_stack_takes_our_offers() {
    let audio = source("chromium-publish-audio-video", "0");
    let video = source("firefox-publish-audio-video", "1");
    let (mut ours, mut theirs) = (negotiation(), client());
    // str0m answers an actpass offer as DTLS server, which is our role; so it offers first.
    push(&mut ours, &mut theirs);
    for round in 0..3u32 {
        let pulls = [pull(&audio, 100 + round * 10), pull(&video, 104 + round * 10)];
        let offered = ours.offer(&pulls).unwrap();
        let offer = SdpOffer::from_sdp_string(&offered.sdp).unwrap();
        let answer = theirs.sdp_api().accept_offer(offer).unwrap();
        let answer = Description::parse(&answer.to_sdp_string()).unwrap();
        let outcomes = ours.accept_answer(&answer).unwrap();
        assert_eq!(outcomes.len(), 2 + 2 * round as usize);
        for outcome in outcomes {
            let AcceptedOutcome::Receiving(section) = outcome.outcome else {
                panic!("round {round}: {outcome:?}");
            };
            assert!(!section.payloads.is_empty());
        }
    }
}

#[test]
fn another_stack_takes_our_answers() {
    let (mut ours, mut theirs) = (negotiation(), client());
    push(&mut ours, &mut theirs);
    push(&mut ours, &mut theirs);
    // And a pull on the same connection, with the numbers this client offered first.
    let media = source("chromium-publish-audio-video", "1");
    let offered = ours.offer(&[pull(&media, 900)]).unwrap();
    let offer = SdpOffer::from_sdp_string(&offered.sdp).unwrap();
    let answer = theirs.sdp_api().accept_offer(offer).unwrap();
    let outcomes =
        ours.accept_answer(&Description::parse(&answer.to_sdp_string()).unwrap()).unwrap();
    assert!(matches!(outcomes[0].outcome, AcceptedOutcome::Receiving(_)), "{outcomes:?}");
}
