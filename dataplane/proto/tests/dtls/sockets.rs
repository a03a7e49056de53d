//! The client of `webrtc-dtls` over loopback sockets.

use std::sync::Arc;
use std::time::{Duration, Instant};

use proto::dtls::Dtls;
use proto::srtp::{Keying, SrtpProfile};
use tokio::net::UdpSocket;
use webrtc_dtls::config::Config;
use webrtc_dtls::conn::DTLSConn;
use webrtc_dtls::crypto::Certificate;
use webrtc_dtls::extension::extension_use_srtp::SrtpProtectionProfile as Profile;
use webrtc_util::{Conn, KeyingMaterialExporter};

use super::net::{Said, certificate, drain};

/// Serves one association until the client closes it.
async fn serve(socket: UdpSocket) -> Said {
    let mut server = Dtls::new(certificate(), Instant::now());
    let mut buffer = [0; 2_000];
    let mut total = Said::default();
    let mut peer = None;
    let end = Instant::now() + Duration::from_secs(20);
    while Instant::now() < end {
        let said = drain(&mut server, Instant::now());
        for datagram in &said.datagrams {
            socket.send_to(datagram, peer.unwrap()).await.unwrap();
        }
        if let Some(connected) = said.connected {
            total.connected = Some(connected);
        }
        for plain in said.plain {
            server.send_application(&plain, Instant::now()).unwrap();
            total.plain.push(plain);
        }
        total.closed |= said.closed;
        if total.closed {
            break;
        }
        let received = socket.recv_from(&mut buffer);
        match tokio::time::timeout(Duration::from_millis(50), received).await {
            Ok(result) => {
                let (length, from) = result.unwrap();
                peer = Some(from);
                server.on_datagram(&buffer[..length], Instant::now()).unwrap();
            }
            Err(_) => server.on_deadline(Instant::now()).unwrap(),
        }
    }
    total
}

async fn connect(profiles: Vec<Profile>) -> (Said, Vec<u8>, Vec<u8>) {
    let listening = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = listening.local_addr().unwrap();
    let server = tokio::spawn(serve(listening));
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(address).await.unwrap();
    let own = Certificate::generate_self_signed(vec!["peer".to_owned()]).unwrap();
    let der = own.certificate[0].to_vec();
    let config = Config {
        certificates: vec![own],
        srtp_protection_profiles: profiles,
        insecure_skip_verify: true,
        ..Config::default()
    };
    let conn: Arc<dyn Conn + Send + Sync> = Arc::new(socket);
    let client = DTLSConn::new(conn, config, true, None).await.unwrap();
    let state = client.connection_state().await;
    let profile = match client.selected_srtpprotection_profile() {
        Profile::Srtp_Aes128_Cm_Hmac_Sha1_80 => SrtpProfile::Aes128CmSha1_80,
        Profile::Srtp_Aead_Aes_128_Gcm => SrtpProfile::AeadAes128Gcm,
        Profile::Srtp_Aead_Aes_256_Gcm => SrtpProfile::AeadAes256Gcm,
        other => panic!("{other:?}"),
    };
    let material = state
        .export_keying_material("EXTRACTOR-dtls_srtp", &[], Keying::exporter_len(profile))
        .await
        .unwrap();
    client.write(b"echo", None).await.unwrap();
    let mut echo = [0; 100];
    let length = client.read(&mut echo, Some(Duration::from_secs(5))).await.unwrap();
    assert_eq!(&echo[..length], b"echo");
    client.close().await.unwrap();
    (server.await.unwrap(), material, der)
}

#[test]
fn another_stack_gets_the_profile_we_prefer_and_the_same_keys() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for (offer, expected) in [
        (vec![Profile::Srtp_Aes128_Cm_Hmac_Sha1_80], SrtpProfile::Aes128CmSha1_80),
        (
            vec![Profile::Srtp_Aes128_Cm_Hmac_Sha1_80, Profile::Srtp_Aead_Aes_128_Gcm],
            SrtpProfile::AeadAes128Gcm,
        ),
        (
            vec![
                Profile::Srtp_Aes128_Cm_Hmac_Sha1_80,
                Profile::Srtp_Aead_Aes_128_Gcm,
                Profile::Srtp_Aead_Aes_256_Gcm,
            ],
            SrtpProfile::AeadAes256Gcm,
        ),
    ] {
        let (said, material, der) = runtime.block_on(connect(offer));
        let (keying, profile, fingerprint) = said.connected.unwrap();
        assert_eq!(profile, expected);
        assert_eq!(Keying::from_exporter(profile, &material), Some(keying));
        let digest = ring::digest::digest(&ring::digest::SHA256, &der);
        assert_eq!(digest.as_ref(), fingerprint);
        assert_eq!(said.plain, [b"echo"]);
        assert!(said.closed);
    }
}
