//! Stream tokens: what an app's backend gives a publisher or a viewer of one stream in the place of
//! its secret.
//!
//! A token is `ROLE.EXPIRES.MAC`: `publish` or `play`, seconds since 1970, and the HMAC-SHA256 of
//! role, expiry and stream name in hexadecimal digits. Its key is derived (HKDF, RFC 5869) from the
//! digest of the app's secret with the app's id: nothing is kept, so a token outlives a restart, is
//! good for one stream of one app, and dies with the secret. Made by `api/streams.rs`, checked by
//! `auth.rs`. Never logged.

use std::time::SystemTime;

use ring::hmac::{self, HMAC_SHA256, Key};

/// Tells these keys from any other use of the secret.
const SALT: &[u8] = b"fanfall stream token 1";

/// What a token is good for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Publish the stream (WHIP).
    Publish,
    /// Watch the stream (WHEP).
    Play,
}

impl Role {
    /// Both.
    pub const ALL: [Role; 2] = [Role::Publish, Role::Play];

    fn name(self) -> &'static str {
        match self {
            Role::Publish => "publish",
            Role::Play => "play",
        }
    }
}

/// The key of an app's tokens.
#[derive(Clone, Debug)]
pub struct StreamKey(Key);

impl StreamKey {
    /// Derives the key of an app from the digest of its secret: HKDF-Extract, and HKDF-Expand to
    /// the one block that is needed (RFC 5869 sections 2.2 and 2.3).
    pub fn new(secret_digest: &[u8; 32], app: &str) -> Self {
        let extracted = hmac::sign(&Key::new(HMAC_SHA256, SALT), secret_digest);
        let block = [app.as_bytes(), &[1]].concat();
        let expanded = hmac::sign(&Key::new(HMAC_SHA256, extracted.as_ref()), &block);
        Self(Key::new(HMAC_SHA256, expanded.as_ref()))
    }

    /// A token for a stream until `expires`, in seconds since 1970.
    pub fn issue(&self, stream: &str, role: Role, expires: u64) -> String {
        let grant = format!("{}.{expires}", role.name());
        let tag = hmac::sign(&self.0, signed(stream, &grant).as_bytes());
        let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{grant}.{hex}")
    }

    /// What a token allows at the stream; None for one that is not of this app and stream, or whose
    /// time is over. The comparison takes the same time wherever a wrong MAC differs.
    pub fn role(&self, stream: &str, token: &[u8], now: u64) -> Option<Role> {
        let (grant, mac) = std::str::from_utf8(token).ok()?.rsplit_once('.')?;
        hmac::verify(&self.0, signed(stream, grant).as_bytes(), &bytes(mac)?).ok()?;
        let (name, expires) = grant.split_once('.')?;
        let role = Role::ALL.into_iter().find(|role| role.name() == name)?;
        (now < expires.parse().ok()?).then_some(role)
    }
}

/// The time in seconds since 1970.
pub fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

/// What the MAC is of. The stream's name comes first: what ends it never stands in a name.
fn signed(stream: &str, grant: &str) -> String {
    format!("{stream}/{grant}")
}

/// 32 bytes of hexadecimal digits.
fn bytes(hex: &str) -> Option<[u8; 32]> {
    if hex.len() != 64 || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; 32];
    for (place, pair) in bytes.iter_mut().zip(hex.as_bytes().chunks(2)) {
        *place = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn key() -> StreamKey {
        StreamKey::new(&[7; 32], "app")
    }

    #[test]
    fn a_token_is_good_for_its_stream_role_app_and_time() {
        let token = key().issue("show", Role::Play, 1_000);
        let ask = |key: StreamKey, stream: &str, now| key.role(stream, token.as_bytes(), now);
        assert_eq!(ask(key(), "show", 999), Some(Role::Play));
        assert_eq!(ask(key(), "show", 1_000), None, "its time is over");
        assert_eq!(ask(key(), "other", 999), None);
        assert_eq!(ask(StreamKey::new(&[7; 32], "app2"), "show", 999), None);
        assert_eq!(ask(StreamKey::new(&[8; 32], "app"), "show", 999), None, "the secret changed");
    }

    #[test]
    fn no_part_of_a_token_can_be_changed() {
        let token = key().issue("show", Role::Play, 1_000);
        let last = if token.ends_with('0') { "1" } else { "0" };
        for changed in [
            token.replace("play", "publish"),
            token.replace(".1000.", ".9000."),
            token.replace(".1000.", ".01000."),
            format!("{}{last}", &token[..token.len() - 1]),
            format!("{token}0"),
            token[..token.len() - 1].to_owned(),
        ] {
            assert_eq!(key().role("show", changed.as_bytes(), 999), None, "{changed}");
        }
    }

    #[test]
    fn the_key_is_the_one_of_hkdf() {
        use ring::hkdf::{HKDF_SHA256, Salt};
        let secret = Salt::new(HKDF_SHA256, SALT).extract(&[7; 32]);
        let key: Key = secret.expand(&[b"app"], HMAC_SHA256).unwrap().into();
        let ours = self::key().issue("a", Role::Play, 1);
        assert_eq!(StreamKey(key).issue("a", Role::Play, 1), ours);
    }

    proptest! {
        #[test]
        fn nothing_else_opens_a_stream(token in prop::collection::vec(any::<u8>(), 0..100)) {
            prop_assert_eq!(key().role("show", &token, 0), None);
        }

        #[test]
        fn no_made_up_token_opens_a_stream(token in "(play|publish)\\.[0-9]{0,22}\\.[0-9a-g]{60,66}") {
            prop_assert_eq!(key().role("show", token.as_bytes(), 0), None);
        }
    }
}
