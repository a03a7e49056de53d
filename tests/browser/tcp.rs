//! Networks that are not what a loopback address is: one that lets no UDP through, so that media
//! takes the TCP candidate, and one without IPv4. In each a browser on one host publishes to, and
//! watches from, a server with default settings on another.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::rc::Rc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::driver::Driver;
use crate::namespace::Network;
use crate::pages::{Page, Stage, figure, until};
use crate::server::Server;

#[test]
fn without_udp_media_goes_over_tcp() {
    let Some(network) = Network::without_udp() else { return };
    let server = server(&network);
    network.client.run(|| {
        assert!(!udp_passes(&network), "the firewall lets UDP through");
        let paths = call(server);
        for path in paths {
            assert_eq!((&path["protocol"], &path["address"]), (&json!("tcp"), &json!("10.77.2.2")));
        }
    });
}

#[test]
fn an_ipv6_only_network_is_enough() {
    let Some(network) = Network::six_only() else { return };
    let server = server(&network);
    network.client.run(|| {
        assert!(udp_passes(&network));
        let paths = call(server);
        for path in paths {
            assert_eq!((&path["protocol"], &path["address"]), (&json!("udp"), &json!("fd77::2")));
        }
    });
}

/// A server with default settings but for the API's address.
fn server(network: &Network) -> Server {
    let http = SocketAddr::new(network.address.parse().unwrap(), 0).to_string();
    network.server.run(|| Server::start_at(&http))
}

/// Whether datagrams of a client reach a socket beside the server; for two seconds, because a link
/// that was just made loses some.
fn udp_passes(network: &Network) -> bool {
    let far = network.server.run(|| UdpSocket::bind((network.address, 0)).unwrap());
    far.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let to = far.local_addr().unwrap();
    let any: IpAddr = match to {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let near = UdpSocket::bind((any, 0)).unwrap();
    (0..20).any(|_| near.send_to(b"anybody?", to).is_ok() && far.recv(&mut [0; 10]).is_ok())
}

/// Publishes and watches for some seconds. Returns the paths of both sessions.
fn call(server: Server) -> [Value; 2] {
    let browser = Driver::trusting(&server.url(""));
    let stage = Stage::of(server, Rc::new(browser));
    let (publisher, published) = stage.publisher(&json!({}));
    figure("publisher connected ms", &published.0["connectMs"]);
    let (viewer, watching) = stage.viewer(&published);
    figure("viewer connected ms", &watching["connectMs"]);
    figure("viewer's first picture ms", &watching["pictureMs"]);
    let start = viewer.received(&watching["session"]);
    until("both kinds flow", Duration::from_secs(20), || {
        let got = viewer.received(&watching["session"]);
        (got.frames - start.frames > 90.0 && got.audio - start.audio > 200.0).then_some(())
    });
    // The estimate grows and nothing is lost on the way.
    let stats = viewer.stats(&watching["session"]);
    for rtp in stats["in"].as_array().unwrap() {
        assert_eq!(rtp["lost"], 0, "{stats}");
    }
    let path = |page: &Page, session: &Value| page.stats(session)["path"].clone();
    [path(&publisher, &published.0["session"]), path(&viewer, &watching["session"])]
}
