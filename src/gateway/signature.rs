//! How webhooks are signed, ours and Stripe's alike: `t=SECONDS,v1=HEX`, the HMAC-SHA256 of `SECONDS.BODY`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hmac::{Hmac, KeyInit, Mac};
use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use sha2::Sha256;

use super::WebhookRefusal;

/// How far the time of a signature may be from ours; a message that somebody kept is refused after that.
pub const TOLERANCE: Duration = Duration::from_secs(300);
/// The longest signature that is read, in bytes. One with several secrets is a third of it.
const SIGNATURE_BYTES_MAX: usize = 1024;

/// Signs a body as of an instant.
pub fn sign(secret: &SecretString, at: SystemTime, body: &[u8]) -> String {
    let seconds = seconds(at).to_string();
    let tag = mac(secret, &seconds, body).finalize().into_bytes();
    let hex: String = tag.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("t={seconds},v1={hex}")
}

/// What a signed body says, once its signature was found right.
///
/// # Errors
/// [`WebhookRefusal`], as [`verify`] and for a body that cannot be read.
pub(super) fn read<T: DeserializeOwned>(
    secret: &SecretString,
    header: Option<&HeaderValue>,
    body: &[u8],
    now: SystemTime,
) -> Result<T, WebhookRefusal> {
    let header = header.and_then(|value| value.to_str().ok()).ok_or(WebhookRefusal::Unsigned)?;
    verify(secret, header, body, now)?;
    serde_json::from_slice(body).map_err(|_| WebhookRefusal::Malformed)
}

/// Whether this body was signed with this secret, not long before `now`. While a secret is replaced a message has a
/// signature for each; one is enough.
///
/// # Errors
/// [`WebhookRefusal`]. Whether a forged message is fresh is not told.
fn verify(
    secret: &SecretString,
    header: &str,
    body: &[u8],
    now: SystemTime,
) -> Result<(), WebhookRefusal> {
    if header.len() > SIGNATURE_BYTES_MAX {
        return Err(WebhookRefusal::Unsigned);
    }
    let (mut time, mut tags) = (None, Vec::new());
    for part in header.split(',') {
        match part.trim().split_once('=') {
            // Two times are one too many: which of them was signed?
            Some(("t", _)) if time.is_some() => return Err(WebhookRefusal::Unsigned),
            Some(("t", text)) => time = Some(text),
            Some(("v1", text)) => tags.extend(bytes(text)),
            _ => {}
        }
    }
    let time = time.ok_or(WebhookRefusal::Unsigned)?;
    let at = Some(time).filter(|time| time.bytes().all(|digit| digit.is_ascii_digit()));
    let at: u64 = at.and_then(|time| time.parse().ok()).ok_or(WebhookRefusal::Unsigned)?;
    if tags.is_empty() {
        return Err(WebhookRefusal::Unsigned);
    }
    let signed = mac(secret, time, body);
    // Compared in constant time.
    if !tags.iter().any(|tag| signed.clone().verify_slice(tag).is_ok()) {
        return Err(WebhookRefusal::Forged);
    }
    if seconds(now).abs_diff(at) > TOLERANCE.as_secs() {
        return Err(WebhookRefusal::Stale);
    }
    Ok(())
}

fn mac(secret: &SecretString, seconds: &str, body: &[u8]) -> Hmac<Sha256> {
    // HMAC takes keys of any length.
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes())
        .unwrap_or_else(|_| Hmac::<Sha256>::new(&Default::default()));
    mac.update(seconds.as_bytes());
    mac.update(b".");
    mac.update(body);
    mac
}

fn seconds(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn bytes(hex: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if hex.len() != 64 || !hex.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, digits) in bytes.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn secret(text: &str) -> SecretString {
        SecretString::from(text)
    }

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn a_signature_is_that_of_everybody_who_follows_the_scheme() {
        // printf '1700000000.{"id":"evt_1"}' | openssl dgst -sha256 -hmac whsec_test
        let known =
            "t=1700000000,v1=c89214b5b5da833daed6f0b8c5bb6bd58cea9022bd80ccc78230f3942d632925";
        let body = br#"{"id":"evt_1"}"#;
        assert_eq!(sign(&secret("whsec_test"), at(1_700_000_000), body), known);
        assert_eq!(verify(&secret("whsec_test"), known, body, at(1_700_000_100)), Ok(()));
    }

    #[test]
    fn what_is_forged_stale_or_unsigned_is_refused() {
        use WebhookRefusal::{Forged, Stale, Unsigned};
        let (key, body, now) = (secret("right"), b"body".as_slice(), at(1_000_000));
        let tag = |time: u64| sign(&key, at(time), body);
        let check = |header: &str| verify(&key, header, body, now);
        assert_eq!(check(&tag(1_000_000)), Ok(()));
        assert_eq!(check(&tag(1_000_300)), Ok(()));
        assert_eq!(check(&tag(999_700)), Ok(()));
        assert_eq!(check(&tag(999_699)), Err(Stale));
        assert_eq!(check(&tag(1_000_301)), Err(Stale));
        let good = tag(1_000_000);
        let hex = good.split_once("v1=").unwrap().1;
        let other = sign(&secret("wrong"), now, body);
        let wrong = other.split_once("v1=").unwrap().1;
        for (header, told) in [
            (format!("t=1000000,v1={wrong},v1={hex}"), Ok(())),
            (format!("t=1000000,v0=00,v1={hex},v2=x"), Ok(())),
            (format!(" t=1000000, v1={hex}"), Ok(())),
            (other.clone(), Err(Forged)),
            // The time is signed, too.
            (format!("t=1000001,v1={hex}"), Err(Forged)),
            (format!("t=1000000,t=1000000,v1={hex}"), Err(Unsigned)),
            (format!("v1={hex}"), Err(Unsigned)),
            (format!("t=+1000000,v1={hex}"), Err(Unsigned)),
            (format!("t=,v1={hex}"), Err(Unsigned)),
            (format!("t=99999999999999999999999,v1={hex}"), Err(Unsigned)),
            ("t=1000000".to_owned(), Err(Unsigned)),
            (format!("t=1000000,v1={}", &hex[1..]), Err(Unsigned)),
            (format!("t=1000000,v1={}é", &hex[2..]), Err(Unsigned)),
            (format!("t=1000000,v0={hex}"), Err(Unsigned)),
            (format!("{good},{}", "v1=00,".repeat(200)), Err(Unsigned)),
            (String::new(), Err(Unsigned)),
        ] {
            assert_eq!(check(&header), told, "{header}");
        }
        assert_eq!(verify(&key, &good, b"bodY", now), Err(Forged));
    }

    proptest! {
        #[test]
        fn nothing_that_a_stranger_writes_is_believed(header in ".{0,200}", body: Vec<u8>) {
            prop_assert!(verify(&secret("right"), &header, &body, at(1)).is_err());
        }

        #[test]
        fn what_was_signed_is_believed(key in ".{0,80}", body: Vec<u8>, time in 0_u64..1 << 40) {
            let header = sign(&secret(&key), at(time), &body);
            prop_assert_eq!(verify(&secret(&key), &header, &body, at(time)), Ok(()));
        }
    }
}
