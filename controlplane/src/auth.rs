//! The apps of this node and who may use them: bearer secrets, compared in constant time.
//!
//! Asked by `server.rs` before any handler runs. Holds digests only; the secrets themselves are
//! forgotten at start. Never logs.

use std::collections::HashMap;

use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;
use ring::digest::{SHA256, digest};
use subtle::ConstantTimeEq;

use crate::config::AppConfig;
use crate::error::ApiError;
use crate::stream_token::{Role, StreamKey};

/// Number of an app on this node, in the order of the settings.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct AppIndex(pub usize);

/// All apps.
#[derive(Debug)]
pub struct Apps {
    by_id: HashMap<String, AppIndex>,
    /// SHA-256 of each secret: equal lengths for the comparison.
    digests: Vec<[u8; 32]>,
    /// The ids again, in the order of the digests.
    ids: Vec<String>,
}

impl Apps {
    /// Takes over the settings' apps.
    pub fn new(apps: &[AppConfig]) -> Self {
        Self {
            by_id: apps.iter().enumerate().map(|(n, app)| (app.id.clone(), AppIndex(n))).collect(),
            digests: apps.iter().map(|app| sha256(app.secret.as_bytes())).collect(),
            ids: apps.iter().map(|app| app.id.clone()).collect(),
        }
    }

    /// Number of apps.
    pub fn len(&self) -> usize {
        self.digests.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.digests.is_empty()
    }

    /// The app of a path.
    ///
    /// # Errors
    /// [`ApiError::NoApp`].
    pub fn find(&self, id: &str) -> Result<AppIndex, ApiError> {
        self.by_id.get(id).copied().ok_or(ApiError::NoApp)
    }

    /// Checks `Authorization: Bearer SECRET` against an app's secret. The scheme's case does not
    /// matter (RFC 9110 section 11.1).
    ///
    /// # Errors
    /// [`ApiError::Unauthorized`] when the header is missing, repeated, of another scheme, or
    /// holds another secret.
    pub fn authorize(&self, app: AppIndex, headers: &HeaderMap) -> Result<(), ApiError> {
        let token = token(headers)?;
        if self.is_secret(app, token) { Ok(()) } else { Err(ApiError::Unauthorized) }
    }

    /// The same for one stream: its tokens of these roles are as good as the secret. `now` is in
    /// seconds since 1970.
    ///
    /// # Errors
    /// [`ApiError::Unauthorized`], also for a token of another stream or role, or an old one.
    pub fn authorize_stream(
        &self,
        app: AppIndex,
        headers: &HeaderMap,
        stream: &str,
        roles: &[Role],
        now: u64,
    ) -> Result<(), ApiError> {
        let token = token(headers)?;
        let role = self.stream_key(app)?.role(stream, token, now);
        let allowed = role.is_some_and(|role| roles.contains(&role));
        if allowed || self.is_secret(app, token) { Ok(()) } else { Err(ApiError::Unauthorized) }
    }

    /// The key of an app's stream tokens, made anew of its secret's digest each time.
    ///
    /// # Errors
    /// [`ApiError::Unauthorized`] when there is no such app.
    pub fn stream_key(&self, app: AppIndex) -> Result<StreamKey, ApiError> {
        match (self.digests.get(app.0), self.ids.get(app.0)) {
            (Some(digest), Some(id)) => Ok(StreamKey::new(digest, id)),
            _ => Err(ApiError::Unauthorized),
        }
    }

    fn is_secret(&self, app: AppIndex, token: &[u8]) -> bool {
        let expected = self.digests.get(app.0);
        expected.is_some_and(|expected| sha256(token).ct_eq(expected).into())
    }
}

/// The one bearer token of a request.
fn token(headers: &HeaderMap) -> Result<&[u8], ApiError> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(ApiError::Unauthorized);
    };
    bearer(value.as_bytes()).ok_or(ApiError::Unauthorized)
}

fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii()).filter(|t| !t.is_empty())
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, bytes).as_ref());
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use hyper::header::HeaderValue;

    use super::*;

    fn apps() -> Apps {
        let app = |id: &str, secret: &str| AppConfig { id: id.into(), secret: secret.into() };
        Apps::new(&[app("one", "0123456789abcdef"), app("two", "fedcba9876543210")])
    }

    fn ask(values: &[&'static str]) -> Result<(), ApiError> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_static(value));
        }
        let apps = apps();
        apps.authorize(apps.find("one").unwrap(), &headers)
    }

    #[test]
    fn only_the_apps_own_secret_opens_it() {
        assert_eq!(ask(&["Bearer 0123456789abcdef"]), Ok(()));
        assert_eq!(ask(&["bEARER   0123456789abcdef"]), Ok(()));
        for wrong in [
            &[][..],
            &["Bearer fedcba9876543210"],
            &["Bearer 0123456789abcde"],
            &["Bearer 0123456789abcdeff"],
            &["Bearer "],
            &["Bearer"],
            &["Basic 0123456789abcdef"],
            &["0123456789abcdef"],
            &["Bearer 0123456789abcdef", "Bearer 0123456789abcdef"],
        ] {
            assert_eq!(ask(wrong), Err(ApiError::Unauthorized), "{wrong:?}");
        }
        assert_eq!(apps().find("three"), Err(ApiError::NoApp));
    }
}
