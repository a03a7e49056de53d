//! Our client role: against the server of `webrtc-dtls` over loopback sockets, and against hostile
//! bytes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::command::DtlsRole;
use common::limits::HANDSHAKE_MAX;
use proptest::prelude::*;
use proto::dtls::{Dtls, DtlsError, DtlsFailure};
use proto::srtp::{Keying, SrtpProfile};
use tokio::net::UdpSocket;
use webrtc_dtls::config::{ClientAuthType, Config};
use webrtc_dtls::conn::DTLSConn;
use webrtc_dtls::crypto::Certificate;
use webrtc_dtls::extension::extension_use_srtp::SrtpProtectionProfile as Profile;
use webrtc_util::{Conn, KeyingMaterialExporter};

use super::browser::{chromium, cut};
use super::net::{Said, certificate, drain};

/// Dials one association and echoes until the server closes it.
async fn dial(socket: UdpSocket) -> Said {
    let mut client = Dtls::new(certificate(), Instant::now());
    assert_eq!(client.role(), DtlsRole::Server);
    assert!(client.connect(Instant::now()));
    assert!(!client.connect(Instant::now()), "once is enough");
    assert_eq!(client.role(), DtlsRole::Client);
    let mut buffer = [0; 2_000];
    let mut total = Said::default();
    let end = Instant::now() + Duration::from_secs(20);
    while Instant::now() < end && !total.closed {
        let said = drain(&mut client, Instant::now());
        for datagram in &said.datagrams {
            socket.send(datagram).await.unwrap();
        }
        total.connected = said.connected.or(total.connected);
        total.closed |= said.closed;
        let echoed = !said.plain.is_empty();
        for plain in said.plain {
            client.send_application(&plain, Instant::now()).unwrap();
            total.plain.push(plain);
        }
        if echoed {
            continue;
        }
        match tokio::time::timeout(Duration::from_millis(50), socket.recv(&mut buffer)).await {
            Ok(length) => client.on_datagram(&buffer[..length.unwrap()], Instant::now()).unwrap(),
            Err(_) => client.on_deadline(Instant::now()).unwrap(),
        }
    }
    total
}

/// The other stack as the server: what we said, its keys and its certificate.
async fn serve(profiles: Vec<Profile>) -> (Said, Vec<u8>, Vec<u8>) {
    let (ours, theirs) = (UdpSocket::bind("127.0.0.1:0"), UdpSocket::bind("127.0.0.1:0"));
    let (ours, theirs) = (ours.await.unwrap(), theirs.await.unwrap());
    ours.connect(theirs.local_addr().unwrap()).await.unwrap();
    theirs.connect(ours.local_addr().unwrap()).await.unwrap();
    let client = tokio::spawn(dial(ours));
    let own = Certificate::generate_self_signed(vec!["peer".to_owned()]).unwrap();
    let der = own.certificate[0].to_vec();
    let config = Config {
        certificates: vec![own],
        srtp_protection_profiles: profiles,
        client_auth: ClientAuthType::RequireAnyClientCert,
        insecure_skip_verify: true,
        ..Config::default()
    };
    let conn: Arc<dyn Conn + Send + Sync> = Arc::new(theirs);
    let server = DTLSConn::new(conn, config, false, None).await.unwrap();
    let state = server.connection_state().await;
    assert_eq!(state.peer_certificates.len(), 1, "our certificate was asked for and given");
    let profile = match server.selected_srtpprotection_profile() {
        Profile::Srtp_Aes128_Cm_Hmac_Sha1_80 => SrtpProfile::Aes128CmSha1_80,
        Profile::Srtp_Aead_Aes_128_Gcm => SrtpProfile::AeadAes128Gcm,
        Profile::Srtp_Aead_Aes_256_Gcm => SrtpProfile::AeadAes256Gcm,
        other => panic!("{other:?}"),
    };
    let length = Keying::exporter_len(profile);
    let material = state.export_keying_material("EXTRACTOR-dtls_srtp", &[], length).await.unwrap();
    server.write(b"echo", None).await.unwrap();
    let mut echo = [0; 100];
    let length = server.read(&mut echo, Some(Duration::from_secs(5))).await.unwrap();
    assert_eq!(&echo[..length], b"echo");
    server.close().await.unwrap();
    (client.await.unwrap(), material, der)
}

#[test]
fn another_stack_serves_us_with_the_same_keys() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for (profiles, expected) in [
        (vec![Profile::Srtp_Aes128_Cm_Hmac_Sha1_80], SrtpProfile::Aes128CmSha1_80),
        (vec![Profile::Srtp_Aead_Aes_128_Gcm], SrtpProfile::AeadAes128Gcm),
        (vec![Profile::Srtp_Aead_Aes_256_Gcm], SrtpProfile::AeadAes256Gcm),
    ] {
        let (said, material, der) = runtime.block_on(serve(profiles));
        let (keying, profile, fingerprint) = said.connected.unwrap();
        assert_eq!(profile, expected);
        assert_eq!(Keying::from_exporter(profile, &material), Some(keying));
        let digest = ring::digest::digest(&ring::digest::SHA256, &der);
        assert_eq!(digest.as_ref(), fingerprint);
        assert_eq!(said.plain, [b"echo"]);
        assert!(said.closed);
    }
}

#[test]
fn our_hello_names_the_aead_profiles_first_and_is_sent_again() {
    let now = Instant::now();
    let mut client = Dtls::new(certificate(), now);
    client.connect(now);
    let first = drain(&mut client, now);
    let [hello] = first.datagrams.as_slice() else { panic!("{first:?}") };
    // use_srtp (14), its length, the list's length, the profiles, no MKI (RFC 5764 section 4.1.1).
    let wanted = [0, 14, 0, 9, 0, 6, 0, 8, 0, 7, 0, 1, 0];
    assert!(hello.windows(wanted.len()).any(|window| window == wanted), "{hello:02x?}");
    assert!(hello.len() < 400, "{} bytes: one datagram on any path", hello.len());
    let later = first.deadline.unwrap();
    assert!(later <= now + Duration::from_millis(400));
    client.on_deadline(later).unwrap();
    assert_eq!(drain(&mut client, later).datagrams.len(), 1);
    let end = now + HANDSHAKE_MAX;
    assert_eq!(client.on_deadline(end), Err(DtlsError::Fatal(DtlsFailure::Timeout)));
}

#[test]
fn what_no_server_sends_in_clear_is_dropped() {
    let now = Instant::now();
    let mut client = Dtls::new(certificate(), now);
    client.connect(now);
    drain(&mut client, now);
    for piece in cut(&chromium(), 1_100) {
        assert_eq!(client.on_datagram(&piece, now), Err(DtlsError::Rejected), "a ClientHello");
    }
    let record = |kind: u8, epoch: u8, body: &[u8]| {
        let mut bytes = vec![kind, 0xFE, 0xFD, 0, epoch, 0, 0, 0, 0, 0, 9, 0, body.len() as u8];
        bytes.extend(body);
        bytes
    };
    let message = |kind: u8| [kind, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 4, 1, 2, 3, 4];
    let alerts = [record(21, 0, &[2, 40]), record(21, 0, &[1, 0])];
    let others = [1, 4, 15, 16, 20, 99].map(|kind| record(22, 0, &message(kind)));
    let odd = [record(23, 0, b"clear"), record(22, 7, &[9; 40]), vec![0x2F; 60], Vec::new()];
    for forged in alerts.iter().chain(&others).chain(&odd) {
        assert_eq!(client.on_datagram(forged, now), Err(DtlsError::Rejected), "{forged:02x?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn arbitrary_bytes_at_our_client_never_panic(
        datagrams in prop::collection::vec(
            (prop::sample::select(vec![2u8, 3, 11, 12, 13, 14, 20]),
             prop::collection::vec(any::<u8>(), 0..90), any::<bool>()),
            0..8,
        ),
    ) {
        let now = Instant::now();
        let mut client = Dtls::new(certificate(), now);
        client.connect(now);
        drain(&mut client, now);
        for (kind, body, framed) in datagrams {
            let mut bytes = Vec::new();
            if framed {
                let length = body.len() as u8;
                bytes.extend([22, 0xFE, 0xFD, 0, 0, 0, 0, 0, 0, 0, 5, 0, length + 12]);
                bytes.extend([kind, 0, 0, length, 0, 0, 0, 0, 0, 0, 0, length]);
            }
            bytes.extend(body);
            let _ = client.on_datagram(&bytes, now);
            drain(&mut client, now);
        }
    }
}
