//! Which pairs of files are taken, which are refused and how, and what a change of the files does.
#![allow(clippy::unwrap_used)]

use std::fs;

use super::*;

/// A directory with a pair in it.
struct Folder(tempfile::TempDir);

/// A certificate and its key, valid in these years.
fn pair(years: [i32; 2]) -> (String, String) {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(years[0], 1, 1);
    params.not_after = rcgen::date_time_ymd(years[1], 1, 1);
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

fn valid() -> (String, String) {
    pair([2020, 2200])
}

impl Folder {
    fn with((cert, key): &(String, String)) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.put(cert, key);
        folder
    }

    fn put(&self, cert: &str, key: &str) {
        let files = self.files();
        fs::write(files.cert, cert).unwrap();
        fs::write(files.key, key).unwrap();
    }

    fn files(&self) -> TlsFiles {
        TlsFiles { cert: self.0.path().join("cert.pem"), key: self.0.path().join("key.pem") }
    }

    fn refusal(cert: &str, key: &str) -> String {
        let folder = Self::with(&(cert.to_owned(), key.to_owned()));
        let text = Certificates::load(folder.files()).unwrap_err().to_string();
        assert!(text.contains(".pem") && !text.contains("PRIVATE"), "{text}");
        text.replace(&folder.0.path().display().to_string(), "")
    }
}

fn served(certificates: &Certificates) -> Vec<u8> {
    lock(&certificates.served.0).cert[0].to_vec()
}

#[test]
fn what_cannot_be_served_is_refused_with_the_file_and_the_reason() {
    let ((cert, key), (other, _)) = (valid(), valid());
    for (cert, key, text) in [
        (other.as_str(), key.as_str(), "the key in /key.pem is not that of the first certificate"),
        ("", &key, "/cert.pem holds no certificate"),
        (&key, &key, "/cert.pem holds no certificate"),
        (&cert, "", "/key.pem holds no private key"),
        (&cert, &cert, "/key.pem holds no private key"),
        (&cert[..cert.len() / 2], &key, "certificate 1 of /cert.pem is malformed"),
        (&format!("{cert}{}", cert.replace("MI", "MA")), &key, "certificate 2 of /cert.pem is mal"),
        (&pair([2000, 2001]).0, &key, "certificate 1 of /cert.pem expired at 2001-01-01T00:00:00Z"),
        (&pair([2199, 2200]).0, &key, "is not valid before 2199-01-01T00:00:00Z"),
        (&format!("{cert}{}", pair([2000, 2001]).0), &key, "certificate 2 of /cert.pem expired"),
    ] {
        let refusal = Folder::refusal(cert, key);
        assert!(refusal.contains(text), "{refusal:?} lacks {text:?}");
    }
    let nowhere = TlsFiles { cert: "/no/such/cert.pem".into(), key: "/no/such/key.pem".into() };
    let text = Certificates::load(nowhere).unwrap_err().to_string();
    assert!(text.starts_with("/no/such/cert.pem cannot be read: "), "{text}");
}

#[test]
fn a_change_is_taken_over_if_it_can_be_served_and_tried_once() {
    let (first, second) = (valid(), pair([2020, 2100]));
    let folder = Folder::with(&first);
    let certificates = Certificates::load(folder.files()).unwrap();
    let before = served(&certificates);
    let expiry = certificates.expiry().get();
    certificates.refresh();
    assert_eq!(served(&certificates), before, "nothing changed");

    // The certificate is there, its key not yet.
    folder.put(&second.0, &first.1);
    certificates.refresh();
    assert_eq!(served(&certificates), before);
    folder.put(&pair([2000, 2001]).0, &second.1);
    certificates.refresh();
    fs::remove_file(folder.files().key).unwrap();
    certificates.refresh();
    certificates.refresh();
    assert_eq!(served(&certificates), before);
    assert_eq!(certificates.expiry().get(), expiry);

    folder.put(&second.0, &second.1);
    certificates.refresh();
    assert_ne!(served(&certificates), before);
    assert_eq!(certificates.expiry().get(), 4_102_444_800, "2100-01-01");
}
