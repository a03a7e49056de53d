//! Handshakes over a path that loses, doubles and reorders; data and close after them.

use std::time::Duration;

use proto::dtls::DtlsOutput;
use proto::srtp::SrtpProfile;

use super::net::{Net, Offer};

const OFFERS: [Offer; 3] = [Offer::Only12, Offer::Only13, Offer::Both];

#[test]
fn each_version_connects_with_equal_keys() {
    for (offer, version) in [
        (Offer::Only12, dimpl::ProtocolVersion::DTLS1_2),
        (Offer::Only13, dimpl::ProtocolVersion::DTLS1_3),
        (Offer::Both, dimpl::ProtocolVersion::DTLS1_3),
    ] {
        let mut net = Net::new(offer, 1_150);
        assert!(net.run(Duration::from_secs(1)), "{offer:?}");
        assert_eq!(net.check(), SrtpProfile::AeadAes256Gcm);
        assert_eq!(net.client.dtls.protocol_version(), Some(version));
        assert_eq!(net.rejected, 0);
    }
}

#[test]
fn the_loss_of_any_one_datagram_is_repaired() {
    for offer in OFFERS {
        for lost in 0..8 {
            let mut net = Net::new(offer, 1_150);
            net.fate =
                Box::new(move |number, _, bytes| if number == lost { vec![] } else { vec![bytes] });
            assert!(net.run(Duration::from_secs(3)), "{offer:?} without {lost}");
            net.check();
        }
    }
}

#[test]
fn heavy_loss_and_doubling_only_delay() {
    for offer in OFFERS {
        for seed in 1..20u64 {
            let mut net = Net::new(offer, 400);
            let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
            net.fate = Box::new(move |_, _, bytes| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                match state % 10 {
                    0 | 1 => vec![],
                    2 => vec![bytes.clone(), bytes],
                    _ => vec![bytes],
                }
            });
            assert!(net.run(Duration::from_secs(29)), "{offer:?}, seed {seed}");
            net.check();
        }
    }
}

#[test]
fn application_data_and_close_notify_pass_both_ways() {
    for offer in OFFERS {
        let mut net = Net::new(offer, 1_150);
        assert!(net.run(Duration::from_secs(1)));
        net.settle();
        net.client.dtls.send_application_data(b"up").unwrap();
        net.server.send_application(b"down", net.now).unwrap();
        net.settle();
        assert_eq!(net.said.plain, [b"up"]);
        assert_eq!(net.client.plain, [b"down"]);
        net.client.dtls.close().unwrap();
        net.settle();
        assert!(net.said.closed, "{offer:?}");
        let mut buffer = [0; super::net::BUFFER];
        let after = net.server.poll(&mut buffer, net.now);
        assert!(matches!(after, DtlsOutput::Deadline(_)), "said once");
    }
}

#[test]
fn our_close_notify_is_seen() {
    for offer in OFFERS {
        let mut net = Net::new(offer, 1_150);
        assert!(net.run(Duration::from_secs(1)));
        net.settle();
        net.server.close(net.now);
        net.settle();
        assert!(net.client.closed, "{offer:?}");
    }
}
