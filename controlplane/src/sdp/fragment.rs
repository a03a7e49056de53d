//! SDP fragments of WHIP and WHEP (RFC 8840 section 9): what a client says of its ICE after the
//! exchange, and what we say of ours after a restart.
//!
//! Read by `api/ice.rs` from text the client wrote: every bound is checked, nothing panics. We are
//! ICE-lite and learn a client's addresses from its checks (RFC 8445 section 6.1.1), so candidates
//! are looked at no further.

use super::SdpError;
use super::description::IceCredentials;
use super::negotiation::{LocalTransport, Negotiation};
use super::parse::{self, check_size};

/// A client's fragment.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Fragment {
    /// ICE credentials: the session's, else those of the first section that has some.
    pub ice: Option<IceCredentials>,
    /// Mids of its sections.
    pub mids: Vec<String>,
}

impl Fragment {
    /// Parses a fragment.
    ///
    /// Errors: [`super::SdpErrorKind::Malformed`] with the line: over a bound, lines that no
    /// fragment has, credentials of a wrong length, or only one half of them.
    /// Cost: allocates; linear in the length of the text.
    pub fn parse(text: &str) -> Result<Self, SdpError> {
        check_size(text)?;
        let (mut ufrag, mut pwd, mut mids) = (None, None, Vec::new());
        let mut empty = true;
        for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.is_empty()) {
            let bad = |reason: &str| SdpError::malformed(index + 1, reason);
            empty = false;
            let attribute = match line.split_at_checked(2) {
                Some(("m=", _)) => continue,
                Some(("a=", attribute)) => attribute,
                _ => return Err(bad("a fragment has m= and a= lines only")),
            };
            let (name, value) = attribute.split_once(':').unwrap_or((attribute, ""));
            match name {
                "ice-ufrag" => {
                    ufrag.get_or_insert(parse::ice_ufrag(value, index + 1)?);
                }
                "ice-pwd" => {
                    pwd.get_or_insert(parse::ice_pwd(value, index + 1)?);
                }
                "mid" if mids.len() < parse::SECTIONS_MAX => mids.push(value.to_owned()),
                "mid" => return Err(bad("too many media sections")),
                _ => {}
            }
        }
        let ice = match (ufrag, pwd) {
            (Some(ufrag), Some(pwd)) => Some(IceCredentials { ufrag, pwd }),
            (None, None) if !empty => None,
            _ => return Err(SdpError::malformed(None, "ice-ufrag and ice-pwd belong together")),
        };
        Ok(Self { ice, mids })
    }
}

impl Negotiation {
    /// What names the present ICE session: our user name fragment, another after each restart.
    pub fn ice_session(&self) -> &str {
        &self.transport.ufrag
    }

    /// Whether a section of the session, agreed or offered, has this mid.
    pub fn has_section(&self, mid: &str) -> bool {
        let mut states = std::iter::once(&self.state).chain(&self.pending);
        states.any(|state| state.line(mid).is_some())
    }

    /// Takes an ICE restart without a description: the client's new credentials, and ours.
    pub fn restart_ice(&mut self, remote: IceCredentials, local: LocalTransport) {
        for state in std::iter::once(&mut self.state).chain(self.pending.as_mut()) {
            if let Some(known) = &mut state.remote {
                known.ice.clone_from(&remote);
            }
        }
        self.set_transport(local);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    const PWD: &str = "vw5LmwG4y/e6dPP/zAP9Gp5k";

    #[test]
    fn credentials_stand_before_or_in_the_first_section() {
        let candidate = "a=candidate:1 1 udp 2122260223 192.0.2.1 61764 typ host ufrag EsAw\r\n";
        for text in [
            format!("a=ice-ufrag:ysXw\r\na=ice-pwd:{PWD}\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\n"),
            format!(
                "m=audio 9 UDP/TLS/RTP/SAVPF 111\na=mid:0\na=ice-ufrag:ysXw\na=ice-pwd:{PWD}\n"
            ),
        ] {
            let fragment = Fragment::parse(&format!("{text}{candidate}")).unwrap();
            let ice = IceCredentials { ufrag: "ysXw".into(), pwd: PWD.into() };
            assert_eq!(fragment, Fragment { ice: Some(ice), mids: vec!["0".into()] });
        }
        let bare = Fragment::parse(&format!("m=audio 9 RTP/AVP 0\r\na=mid:a\r\n{candidate}"));
        assert_eq!(bare, Ok(Fragment { ice: None, mids: vec!["a".into()] }));
    }

    #[test]
    fn what_is_no_fragment_is_refused_with_its_line() {
        let line = |text: &str| Fragment::parse(text).unwrap_err().line;
        assert_eq!(line("a=mid:0\r\nv=0\r\n"), Some(2));
        assert_eq!(line("{\"candidate\":\"\"}"), Some(1));
        assert_eq!(line("a=ice-ufrag:abc\r\n"), Some(1));
        assert_eq!(line("a=mid:0\r\na=ice-pwd:short\r\n"), Some(2));
        assert_eq!(line("a=ice-ufrag:abcd\r\n"), None);
        assert_eq!(line(""), None);
        assert_eq!(line(&"a=mid:0\n".repeat(257)), Some(257));
    }

    proptest! {
        #[test]
        fn any_text_is_a_fragment_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = Fragment::parse(&String::from_utf8_lossy(&bytes));
        }

        #[test]
        fn any_lines_are_a_fragment_or_refused(
            lines in prop::collection::vec("(a=(mid|ice-ufrag|ice-pwd|candidate):|m=|a=).{0,30}", 0..9)
        ) {
            if let Ok(fragment) = Fragment::parse(&lines.join("\r\n")) {
                prop_assert!(fragment.ice.is_none_or(|ice| ice.pwd.len() >= 22));
            }
        }
    }
}
