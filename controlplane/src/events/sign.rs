//! Secrets of webhooks and what is signed with them, by Standard Webhooks 1.0.0
//! (standardwebhooks.com), so that receivers can verify with its libraries.
//!
//! A secret is derived from the server's own key and the webhook's id (HKDF-Expand, RFC 5869 section
//! 2.3), so it is kept nowhere: the database has the id alone, the key lies beside it in a file of
//! its own. Who reads both can make every secret. Never logged.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ring::hmac::{self, HMAC_SHA256, Key};

/// Tells these keys from any other use of the server's key.
const INFO: &[u8] = b"fanfall webhook 1 ";

/// What the secrets of all webhooks are derived from.
#[derive(Clone, Debug)]
pub struct NodeKey(Key);

/// What one webhook's requests are signed with.
#[derive(Clone, Debug)]
pub(super) struct HookKey(Key);

impl NodeKey {
    /// Takes 32 random bytes.
    pub fn new(bytes: &[u8; 32]) -> Self {
        Self(Key::new(HMAC_SHA256, bytes))
    }

    fn derive(&self, webhook: &str) -> hmac::Tag {
        hmac::sign(&self.0, &[INFO, webhook.as_bytes(), &[1]].concat())
    }

    /// The secret of a webhook, as its receiver is told.
    pub(super) fn secret(&self, webhook: &str) -> String {
        format!("whsec_{}", BASE64_STANDARD.encode(self.derive(webhook)))
    }

    /// The same as a key.
    pub(super) fn key(&self, webhook: &str) -> HookKey {
        HookKey(Key::new(HMAC_SHA256, self.derive(webhook).as_ref()))
    }
}

impl HookKey {
    /// The value of `webhook-signature` for a message sent at `timestamp`, in seconds since 1970.
    pub(super) fn sign(&self, id: &str, timestamp: u64, body: &[u8]) -> String {
        let signed = [format!("{id}.{timestamp}.").as_bytes(), body].concat();
        format!("v1,{}", BASE64_STANDARD.encode(hmac::sign(&self.0, &signed)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_signature_is_the_one_of_the_specification() {
        // The example of the specification's reference libraries.
        let secret = BASE64_STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let key = HookKey(Key::new(HMAC_SHA256, &secret));
        let signature =
            key.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn each_webhook_has_a_secret_of_its_own() {
        let node = NodeKey::new(&[7; 32]);
        let secret = node.secret("a");
        let bytes = BASE64_STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
        let by_secret = HookKey(Key::new(HMAC_SHA256, &bytes)).sign("id", 1, b"x");
        assert_eq!((bytes.len(), by_secret), (32, node.key("a").sign("id", 1, b"x")));
        assert_ne!(secret, node.secret("b"));
        assert_ne!(secret, NodeKey::new(&[8; 32]).secret("a"));
        assert!(!format!("{node:?}{:?}", node.key("a")).contains('7'));
    }
}
