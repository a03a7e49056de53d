//! The apps of this node and who may use them: bearer secrets, compared in constant time.
//!
//! Asked by `respond.rs` before any handler runs; apps come and go while it is asked. Holds digests
//! only; the secrets themselves are forgotten at once. Never logs.

use std::collections::{BTreeMap, HashMap};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;
use ring::digest::{SHA256, digest};
use subtle::ConstantTimeEq;

use crate::config::AppConfig;
use crate::error::ApiError;
use crate::stream_token::{Role, StreamKey};

/// SHA-256 of a secret: what is kept of it, and of equal length for every comparison.
pub type Digest = [u8; 32];

/// Number of an app on this node, in the order of their coming; never given twice in a run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct AppIndex(pub usize);

/// All apps.
#[derive(Debug, Default)]
pub struct Apps {
    table: RwLock<Table>,
}

#[derive(Debug, Default)]
struct Table {
    by_id: HashMap<String, AppIndex>,
    apps: BTreeMap<AppIndex, (String, Digest)>,
    next: usize,
}

impl Apps {
    /// Takes over the settings' apps.
    pub fn new(apps: &[AppConfig]) -> Self {
        let all = Self::default();
        for app in apps {
            all.insert(&app.id, sha256(app.secret.as_bytes()));
        }
        all
    }

    /// Adds an app. False when there is one of this id already, which stays as it is.
    pub fn insert(&self, id: &str, digest: Digest) -> bool {
        let mut table = self.write();
        if table.by_id.contains_key(id) {
            return false;
        }
        let index = AppIndex(table.next);
        table.next += 1;
        table.by_id.insert(id.to_owned(), index);
        table.apps.insert(index, (id.to_owned(), digest));
        true
    }

    /// Gives an app another secret, which holds from the next request on.
    pub fn rotate(&self, id: &str, digest: Digest) {
        let mut table = self.write();
        let index = table.by_id.get(id).copied();
        if let Some((_, old)) = index.and_then(|index| table.apps.get_mut(&index)) {
            *old = digest;
        }
    }

    /// Removes an app: no request is authorised for it any more. Its number, if there was one.
    pub fn remove(&self, id: &str) -> Option<AppIndex> {
        let mut table = self.write();
        let index = table.by_id.remove(id)?;
        table.apps.remove(&index);
        Some(index)
    }

    /// The app of a path.
    ///
    /// # Errors
    /// [`ApiError::NoApp`].
    pub fn find(&self, id: &str) -> Result<AppIndex, ApiError> {
        self.read().by_id.get(id).copied().ok_or(ApiError::NoApp)
    }

    /// The app that came first: the one of the page.
    ///
    /// # Errors
    /// [`ApiError::NoApp`] when there is none.
    pub fn first(&self) -> Result<AppIndex, ApiError> {
        self.read().apps.keys().next().copied().ok_or(ApiError::NoApp)
    }

    /// An app's id; None when it was removed.
    pub fn id(&self, app: AppIndex) -> Option<String> {
        self.read().apps.get(&app).map(|(id, _)| id.clone())
    }

    /// Checks `Authorization: Bearer SECRET` against an app's secret.
    ///
    /// # Errors
    /// [`ApiError::Unauthorized`] when [`bearer`] finds none, or another secret.
    pub fn authorize(&self, app: AppIndex, headers: &HeaderMap) -> Result<(), ApiError> {
        let token = bearer(headers).ok_or(ApiError::Unauthorized)?;
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
        let token = bearer(headers).ok_or(ApiError::Unauthorized)?;
        let role = self.stream_key(app)?.role(stream, token, now);
        let allowed = role.is_some_and(|role| roles.contains(&role));
        if allowed || self.is_secret(app, token) { Ok(()) } else { Err(ApiError::Unauthorized) }
    }

    /// The key of an app's stream tokens, made anew of its secret's digest each time.
    ///
    /// # Errors
    /// [`ApiError::Unauthorized`] when there is no such app.
    pub fn stream_key(&self, app: AppIndex) -> Result<StreamKey, ApiError> {
        let table = self.read();
        let (id, digest) = table.apps.get(&app).ok_or(ApiError::Unauthorized)?;
        Ok(StreamKey::new(digest, id))
    }

    fn is_secret(&self, app: AppIndex, token: &[u8]) -> bool {
        let expected = self.read().apps.get(&app).map(|(_, digest)| *digest);
        expected.is_some_and(|expected| matches(token, &expected))
    }

    fn read(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Table> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The token of `Authorization: Bearer TOKEN`; None when the header is missing, repeated, or of
/// another scheme, whose case does not matter (RFC 9110 section 11.1).
pub fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, token) = value.as_bytes().split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii()).filter(|t| !t.is_empty())
}

/// Whether a token is the one of a digest, in constant time.
pub fn matches(token: &[u8], expected: &Digest) -> bool {
    sha256(token).ct_eq(expected).into()
}

/// SHA-256.
pub fn sha256(bytes: &[u8]) -> Digest {
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

    #[test]
    fn apps_come_change_and_go_at_once() {
        let apps = apps();
        let bearer = |secret: &str| {
            let value = HeaderValue::from_str(&format!("Bearer {secret}")).unwrap();
            HeaderMap::from_iter([(AUTHORIZATION, value)])
        };
        let secret = "0123456789abcdef";
        assert!(!apps.insert("one", sha256(b"another")), "its secret is not taken over");
        assert!(apps.insert("three", sha256(b"first")));
        let three = apps.find("three").unwrap();
        assert_eq!(apps.id(three).as_deref(), Some("three"));
        assert_eq!(apps.authorize(three, &bearer("first")), Ok(()));
        let token =
            |apps: &Apps| apps.stream_key(three).unwrap().issue("talk", Role::Publish, 2_000);
        let before = token(&apps);
        assert_eq!(before, token(&apps), "it lasts as long as the secret");
        apps.rotate("three", sha256(b"second"));
        assert_ne!(before, token(&apps));
        assert_eq!(apps.authorize(three, &bearer("first")), Err(ApiError::Unauthorized));
        assert_eq!(apps.authorize(three, &bearer("second")), Ok(()));
        let one = apps.first().unwrap();
        assert_eq!(apps.authorize(one, &bearer(secret)), Ok(()));
        assert_eq!(apps.remove("one"), Some(one));
        assert_eq!(apps.authorize(one, &bearer(secret)), Err(ApiError::Unauthorized));
        assert_eq!((apps.find("one"), apps.id(one)), (Err(ApiError::NoApp), None));
        assert!(apps.insert("one", sha256(secret.as_bytes())));
        assert_ne!(apps.find("one").unwrap(), one, "a number is never given twice");
        assert_eq!(apps.first(), apps.find("two"));
    }
}
