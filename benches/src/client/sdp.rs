//! Session descriptions of the generator's clients, and what they need of a server's. Called by
//! `subject` with every join. Writes what a browser would say of two codecs and two header
//! extensions (RFC 8829); reads any server's description line by line and skips what it does not
//! know.

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};

use ::tests::peer::{MID_ID, PUBLISHER_TYPES, SUBSCRIBER_TYPES, TRANSPORT_CC_ID};
use common::media::MediaKind;

use crate::Outcome;

/// Header extension of transport-wide sequence numbers, as browsers name it.
const TRANSPORT_CC: &str =
    "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";
/// Header extension of MID (RFC 9143 section 15).
const MID: &str = "urn:ietf:params:rtp-hdrext:sdes:mid";

/// What a client says of its transport.
#[derive(Clone, Debug)]
pub(crate) struct Local {
    pub(crate) address: SocketAddr,
    pub(crate) ufrag: String,
    pub(crate) password: String,
    pub(crate) fingerprint: [u8; 32],
}

/// Numbers that one section uses.
#[derive(Clone, Debug)]
pub(crate) struct Numbers {
    pub(crate) media: u8,
    /// Payload type of RTX (RFC 4588); video only.
    pub(crate) rtx: Option<u8>,
    pub(crate) mid_id: Option<u8>,
    pub(crate) transport_cc_id: Option<u8>,
}

/// One media section, of either side.
#[derive(Clone, Debug)]
pub(crate) struct Section {
    pub(crate) mid: String,
    pub(crate) kind: MediaKind,
    pub(crate) numbers: Numbers,
    /// SSRC of what the describing side sends here, and of its RTX stream.
    pub(crate) ssrc: Option<u32>,
    pub(crate) rtx_ssrc: Option<u32>,
}

/// What a server says.
#[derive(Clone, Debug)]
pub(crate) struct Remote {
    pub(crate) address: SocketAddr,
    pub(crate) ufrag: String,
    pub(crate) password: String,
    pub(crate) fingerprint: [u8; 32],
    pub(crate) sections: Vec<Section>,
}

impl Section {
    /// A section of an offer; `number` is its place. With `ssrc` the client sends in it.
    pub(crate) fn offered(
        number: usize,
        kind: MediaKind,
        ssrc: Option<u32>,
        rtx_ssrc: Option<u32>,
    ) -> Self {
        let types = if ssrc.is_some() { PUBLISHER_TYPES } else { SUBSCRIBER_TYPES };
        let video = kind == MediaKind::Video;
        let numbers = Numbers {
            media: if video { types.video } else { types.audio },
            rtx: video.then_some(types.rtx),
            mid_id: Some(MID_ID),
            transport_cc_id: Some(TRANSPORT_CC_ID),
        };
        Self { mid: number.to_string(), kind, numbers, ssrc, rtx_ssrc }
    }
}

/// Writes a client's offer of these sections. The client will be the DTLS client.
pub(crate) fn offer(local: &Local, sections: &[Section]) -> String {
    write(local, sections)
}

/// Writes a client's answer: it receives whatever `remote` offers.
pub(crate) fn answer(local: &Local, remote: &Remote) -> String {
    let receiving = |one: &Section| Section { ssrc: None, rtx_ssrc: None, ..one.clone() };
    write(local, &remote.sections.iter().map(receiving).collect::<Vec<_>>())
}

fn write(local: &Local, sections: &[Section]) -> String {
    let mids: Vec<&str> = sections.iter().map(|section| section.mid.as_str()).collect();
    let mut text = format!(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE {}\r\n\
         a=msid-semantic: WMS *\r\n",
        mids.join(" ")
    );
    for section in sections {
        // Writing to a string cannot fail.
        let _ = write_section(&mut text, local, section);
    }
    text
}

fn write_section(text: &mut String, local: &Local, section: &Section) -> std::fmt::Result {
    let Numbers { media, rtx, mid_id, transport_cc_id } = &section.numbers;
    let video = section.kind == MediaKind::Video;
    let rtx_type = rtx.map(|rtx| format!(" {rtx}")).unwrap_or_default();
    let (ip, port) = (local.address.ip(), local.address.port());
    let kind = if video { "video" } else { "audio" };
    let print: Vec<String> = local.fingerprint.iter().map(|byte| format!("{byte:02X}")).collect();
    write!(text, "m={kind} 9 UDP/TLS/RTP/SAVPF {media}{rtx_type}\r\nc=IN IP4 {ip}\r\n")?;
    write!(text, "a=candidate:1 1 udp 2122260223 {ip} {port} typ host\r\n")?;
    write!(text, "a=ice-ufrag:{}\r\na=ice-pwd:{}\r\n", local.ufrag, local.password)?;
    write!(text, "a=fingerprint:sha-256 {}\r\na=setup:active\r\n", print.join(":"))?;
    write!(text, "a=mid:{}\r\na=rtcp-mux\r\na=rtcp-rsize\r\n", section.mid)?;
    let direction = if section.ssrc.is_some() { "sendonly" } else { "recvonly" };
    write!(text, "a={direction}\r\n")?;
    for (id, name) in [(mid_id, MID), (transport_cc_id, TRANSPORT_CC)] {
        if let Some(id) = id {
            write!(text, "a=extmap:{id} {name}\r\n")?;
        }
    }
    let name = if video { "VP8/90000" } else { "opus/48000/2" };
    write!(text, "a=rtpmap:{media} {name}\r\na=rtcp-fb:{media} transport-cc\r\n")?;
    if video {
        for feedback in ["ccm fir", "nack", "nack pli"] {
            write!(text, "a=rtcp-fb:{media} {feedback}\r\n")?;
        }
    }
    if let Some(rtx) = rtx {
        write!(text, "a=rtpmap:{rtx} rtx/90000\r\na=fmtp:{rtx} apt={media}\r\n")?;
    }
    if let Some(ssrc) = section.ssrc {
        write!(text, "a=msid:stream {kind}\r\n")?;
        if let Some(rtx) = section.rtx_ssrc {
            write!(text, "a=ssrc-group:FID {ssrc} {rtx}\r\na=ssrc:{rtx} cname:load\r\n")?;
        }
        write!(text, "a=ssrc:{ssrc} cname:load\r\n")?;
    }
    Ok(())
}

/// Reads a server's description. Errors: a part without which no client can connect is missing.
pub(crate) fn read(text: &str) -> Outcome<Remote> {
    let mut sections: Vec<Section> = Vec::new();
    let (mut ufrag, mut password, mut fingerprint) = (None, None, None);
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for line in text.lines() {
        if let Some(media) = line.strip_prefix("m=") {
            sections.push(begin(media));
        }
        let Some((name, value)) = line.strip_prefix("a=").and_then(|line| line.split_once(':'))
        else {
            continue;
        };
        match name {
            "ice-ufrag" => ufrag = ufrag.or(Some(value.to_owned())),
            "ice-pwd" => password = password.or(Some(value.to_owned())),
            "fingerprint" => fingerprint = fingerprint.or_else(|| read_fingerprint(value)),
            "candidate" => addresses.extend(read_candidate(value)),
            _ => {
                if let Some(section) = sections.last_mut() {
                    section.read(name, value);
                }
            }
        }
    }
    let loopback = addresses.iter().find(|address| address.ip().is_loopback());
    Ok(Remote {
        address: *loopback.or(addresses.first()).ok_or("the server named no candidate")?,
        ufrag: ufrag.ok_or("the server named no ufrag")?,
        password: password.ok_or("the server named no password")?,
        fingerprint: fingerprint.ok_or("the server named no SHA-256 fingerprint")?,
        sections,
    })
}

fn begin(media: &str) -> Section {
    let kind = if media.starts_with("audio") { MediaKind::Audio } else { MediaKind::Video };
    let first = media.split_whitespace().nth(3).and_then(|word| word.parse().ok());
    let media = first.unwrap_or(0);
    let numbers = Numbers { media, rtx: None, mid_id: None, transport_cc_id: None };
    Section { mid: String::new(), kind, numbers, ssrc: None, rtx_ssrc: None }
}

impl Section {
    /// Takes one attribute of the section.
    fn read(&mut self, name: &str, value: &str) {
        let mut words = value.split_whitespace();
        let first = words.next().unwrap_or_default();
        match name {
            "mid" => self.mid = first.to_owned(),
            "ssrc" => self.ssrc = self.ssrc.or(first.parse().ok()),
            "ssrc-group" if first == "FID" => {
                self.ssrc = words.next().and_then(|word| word.parse().ok());
                self.rtx_ssrc = words.next().and_then(|word| word.parse().ok());
            }
            "fmtp" => {
                let apt = words.next().and_then(|word| word.strip_prefix("apt="));
                if apt.and_then(|apt| apt.parse().ok()) == Some(self.numbers.media) {
                    self.numbers.rtx = first.parse().ok();
                }
            }
            "extmap" => {
                let id = first.split('/').next().and_then(|id| id.parse().ok());
                match words.next() {
                    Some(MID) => self.numbers.mid_id = id,
                    Some(TRANSPORT_CC) => self.numbers.transport_cc_id = id,
                    _ => {}
                }
            }
            _ => {}
        }
    }
}

fn read_fingerprint(value: &str) -> Option<[u8; 32]> {
    let (method, digits) = value.split_once(' ')?;
    let bytes = digits.trim().split(':').map(|pair| u8::from_str_radix(pair, 16).ok());
    let bytes: Option<Vec<u8>> = bytes.collect();
    bytes.filter(|_| method.eq_ignore_ascii_case("sha-256"))?.try_into().ok()
}

/// The address of a UDP candidate (RFC 8839 section 5.1) over IPv4.
fn read_candidate(value: &str) -> Option<SocketAddr> {
    let words: Vec<&str> = value.split_whitespace().collect();
    let ["1", protocol, _, ip, port, "typ", "host"] = words.get(1..8)? else { return None };
    let ip: IpAddr = ip.parse().ok()?;
    let usable = ip.is_ipv4() && protocol.eq_ignore_ascii_case("udp");
    usable.then_some(SocketAddr::new(ip, port.parse().ok()?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let local = Local {
            address: "127.0.0.1:4000".parse().unwrap(),
            ufrag: "abcd".into(),
            password: "efghijklmnopqrstuvwxyz".into(),
            fingerprint: std::array::from_fn(|place| place as u8 * 7),
        };
        let sections = [
            Section::offered(0, MediaKind::Video, Some(7), Some(8)),
            Section::offered(1, MediaKind::Audio, Some(9), None),
        ];
        let remote = read(&offer(&local, &sections)).unwrap();
        assert_eq!((remote.ufrag, remote.address), (local.ufrag.clone(), local.address));
        assert_eq!(remote.fingerprint, local.fingerprint);
        let [video, audio] = remote.sections.as_slice() else { panic!("two sections") };
        assert_eq!((video.ssrc, video.rtx_ssrc, audio.ssrc), (Some(7), Some(8), Some(9)));
        assert_eq!((video.numbers.rtx, audio.numbers.rtx), (Some(PUBLISHER_TYPES.rtx), None));
        assert_eq!(video.numbers.transport_cc_id, Some(TRANSPORT_CC_ID));
        assert!(read("v=0\r\n").is_err());
    }
}
