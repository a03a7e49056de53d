//! Published vectors, checked below the public surface because they give session keys.
//!
//! RFC 3711 appendices B.2 and B.3, RFC 7714 sections 16 and 17.
#![allow(clippy::unwrap_used)]

use super::aead::{Gcm, Position, SeldomGcm};
use super::cm::Cm;
use super::derive::{Keying, SessionKeys, Stream};
use super::open::rtcp_aad;
use super::{ENCRYPTED, SrtpProfile};

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .bytes()
        .filter_map(|byte| char::from(byte).to_digit(16))
        .map(|digit| digit as u8)
        .collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

#[test]
fn key_derivation_matches_rfc_3711_b3() {
    let mut material = hex("E1F97A0D3E018BE0D64FA32C06DE4139");
    material.extend([0; 16]);
    material.extend(hex("0EC675AD498AFEEBB6960B3AABE6"));
    material.extend([0; 14]);
    let keying = Keying::from_exporter(SrtpProfile::Aes128CmSha1_80, &material).unwrap();
    let keys = keying.session(true, Stream::Rtp);
    assert_eq!(keys.cipher(), hex("C61E7A93744F39EE10734AFE3FF7A087"));
    assert_eq!(keys.salt[..], hex("30CBBC08863D8C85D49DB34A9AE1"));
    assert_eq!(keys.auth[..], hex("CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4"));
}

#[test]
fn counter_mode_matches_rfc_3711_b2() {
    let keys = SessionKeys::from_vector(
        SrtpProfile::Aes128CmSha1_80,
        &hex("2B7E151628AED2A6ABF7158809CF4F3C"),
        &hex("F0F1F2F3F4F5F6F7F8F9FAFBFCFD"),
    );
    let mut stream = vec![0; 0xFF02 * 16];
    let at = Position { ssrc: 0, index: 0 };
    Cm::new(&keys).apply(at, &mut stream).unwrap();
    assert_eq!(
        stream[..48],
        hex("E03EAD0935C95E80E166B16DD92B4EB4 D23513162B02D0F72A43A2FE4A5F97AB
             41E95B3BB0A2E8DD477901E4FCA894C0")
    );
    assert_eq!(
        stream[0xFEFF * 16..],
        hex("EC8CDF7398607CB0F2D21675EA9EA1E4 362B7C3C6773516318A077D7FC5073AE
             6A2CC3787889374FBEB4C81B17BA6C44")
    );
}

const SALT: &str = "517569642070726f2071756f";

fn gcm_keys(profile: SrtpProfile) -> SessionKeys {
    let key: Vec<u8> = match profile {
        SrtpProfile::AeadAes256Gcm => (0..32).collect(),
        _ => (0..16).collect(),
    };
    SessionKeys::from_vector(profile, &key, &hex(SALT))
}

#[test]
fn rtp_matches_rfc_7714_section_16() {
    let header = hex("8040f17b8041f8d35501a0b2");
    let plain = b"Gallia est omnis divisa in partes tres";
    for (profile, expected) in [
        (
            SrtpProfile::AeadAes128Gcm,
            "f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b36de3adf8833
             899d7f27beb16a9152cf765ee4390cce",
        ),
        (
            SrtpProfile::AeadAes256Gcm,
            "32b1de78a822fe12ef9f78fa332e33aab18012389a58e2f3b50b2a0276ffae0f1ba63799b87b
             7aa3db36dfffd6b0f9bb7878d7a76c13",
        ),
    ] {
        let gcm = Gcm::new(&gcm_keys(profile)).unwrap();
        let at = Position { ssrc: 0x5501_a0b2, index: 0xf17b };
        let mut sealed = vec![0; plain.len() + 16];
        let (cipher, tag) = sealed.split_at_mut(plain.len());
        gcm.seal_to(at, &header, plain, cipher, tag).unwrap();
        assert_eq!(sealed, hex(expected), "{profile:?}");
        let mut in_place = plain.to_vec();
        let mut tag = [0; 16];
        gcm.seal(at, &header, &mut in_place, &mut tag).unwrap();
        assert_eq!([&in_place[..], &tag].concat(), sealed);
        let mut out = [0; 64];
        assert_eq!(gcm.open_to(at, &header, &sealed, &mut out), Some(38));
        assert_eq!(&out[..38], plain);
        assert_eq!(gcm.open(at, &header, &mut sealed), Some(38));
        assert_eq!(&sealed[..38], plain);
    }
}

#[test]
fn rtcp_matches_rfc_7714_section_17() {
    let clear = hex("81c8000d4d617273");
    let plain = hex("4e5450314e545032525450200000042a0000e9304c756e61
                     deadbeefdeadbeefdeadbeefdeadbeefdeadbeef");
    for (profile, expected) in [
        (
            SrtpProfile::AeadAes128Gcm,
            "63e94885dcdab67ca727d7662f6b7e997ff5c0f76c06f32dc676a5f1730d6fda4ce09b4686303ded
             0bb9275bc84aa45896cf4d2fc5abf87245d9eade",
        ),
        (
            SrtpProfile::AeadAes256Gcm,
            "d50ae4d1f5ce5d304ba297e47d470c282c3ece5dbffe0a50a2eaa5c1110555be8415f658c61de047
             6f1b6fad1d1eb30c4446839f57ff6f6cb26ac3be",
        ),
    ] {
        let gcm = SeldomGcm::new(gcm_keys(profile));
        let at = Position { ssrc: 0x4d61_7273, index: 0x5d4 };
        let aad = rtcp_aad(&clear, ENCRYPTED | 0x5d4).unwrap();
        let mut sealed = plain.clone();
        let mut tag = [0; 16];
        gcm.seal(at, &aad, &mut sealed, &mut tag).unwrap();
        sealed.extend(tag);
        assert_eq!(sealed, hex(expected), "{profile:?}");
        let gcm = Gcm::new(&gcm_keys(profile)).unwrap();
        assert_eq!(gcm.open(at, &aad, &mut sealed), Some(plain.len()));
        assert_eq!(sealed[..plain.len()], plain);
    }
}

#[test]
fn keying_wants_the_exact_length() {
    for profile in
        [SrtpProfile::Aes128CmSha1_80, SrtpProfile::AeadAes128Gcm, SrtpProfile::AeadAes256Gcm]
    {
        let len = Keying::exporter_len(profile);
        for (given, good) in [(len - 1, false), (len, true), (len + 1, false)] {
            let material = vec![7; given];
            assert_eq!(Keying::from_exporter(profile, &material).is_some(), good);
        }
    }
}
