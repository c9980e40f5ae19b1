//! Refresh tokens: random texts, of which the database knows hashes only.
//!
//! A token has two halves. The first names its family: it stays the same for as long as the session lives. The second is a
//! secret that changes with each use. The next secret is made from the present one and a random salt, which is stored: who
//! lost the answer shows the old token and is given the same new one again, and the database alone makes neither.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use uuid::Uuid;

const PREFIX: &str = "frt_";
const FAMILY_BYTES: usize = 16;
const SECRET_BYTES: usize = 32;

/// A refresh token, as its client has it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct RefreshToken {
    family: [u8; FAMILY_BYTES],
    secret: [u8; SECRET_BYTES],
}

/// What is stored of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hashes {
    pub(super) family: Vec<u8>,
    pub(super) secret: Vec<u8>,
}

impl RefreshToken {
    /// The first token of a new family. Random numbers are the operating system's.
    pub(super) fn new() -> Self {
        // Two UUIDs are 244 random bits; hashed, because some bits of a UUID are fixed.
        let random = [Uuid::new_v4(), Uuid::new_v4()].map(Uuid::into_bytes).concat();
        Self { family: Uuid::new_v4().into_bytes(), secret: Sha256::digest(random).into() }
    }

    /// A salt for [`RefreshToken::next`].
    pub(super) fn salt() -> Uuid {
        Uuid::new_v4()
    }

    /// The token that follows this one, by a salt.
    pub(super) fn next(&self, salt: Uuid) -> Self {
        // HMAC fills short keys up with zeros itself; so the length cannot be wrong.
        let key: [u8; 64] = std::array::from_fn(|at| self.secret.get(at).copied().unwrap_or(0));
        let mut mac = Hmac::<Sha256>::new(&key.into());
        mac.update(salt.as_bytes());
        Self { family: self.family, secret: mac.finalize().into_bytes().into() }
    }

    /// Reads what a client shows; `None` when it is no token.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix(PREFIX)?;
        let plain = |digit: u8| digit.is_ascii_digit() || (b'a'..=b'f').contains(&digit);
        if digits.len() != 2 * (FAMILY_BYTES + SECRET_BYTES) || !digits.bytes().all(plain) {
            return None;
        }
        let (family, secret) = digits.split_at_checked(2 * FAMILY_BYTES)?;
        Some(Self { family: bytes(family)?, secret: bytes(secret)? })
    }

    /// What the client is given.
    pub(super) fn text(&self) -> String {
        let bytes = self.family.iter().chain(&self.secret);
        PREFIX.chars().chain(bytes.flat_map(|byte| hexadecimal(*byte))).collect()
    }

    /// What is stored.
    pub(super) fn hashes(&self) -> Hashes {
        Hashes {
            family: Sha256::digest(self.family).to_vec(),
            secret: Sha256::digest(self.secret).to_vec(),
        }
    }
}

fn hexadecimal(byte: u8) -> [char; 2] {
    [byte >> 4, byte & 15].map(|digit| char::from_digit(digit.into(), 16).unwrap_or('0'))
}

fn bytes<const N: usize>(digits: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(digits.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(bytes)
}

impl fmt::Debug for RefreshToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RefreshToken")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_as_it_was_written() {
        let token = RefreshToken::new();
        let text = token.text();
        assert_eq!(text.len(), PREFIX.len() + 96);
        assert_eq!(RefreshToken::parse(&text), Some(token));
        for other in [
            "",
            "frt_",
            &text[1..],
            &text[..text.len() - 1],
            &format!("{text}0"),
            &text.replace("frt_", "frt-"),
            &format!("frt_{}", text[4..].to_uppercase().replace(char::is_numeric, "A")),
            &format!("frt_é{}", &text[6..]),
        ] {
            assert_eq!(RefreshToken::parse(other), None, "{other}");
        }
    }

    #[test]
    fn the_next_token_follows_from_this_one_and_the_salt() {
        let (token, salt) = (RefreshToken::new(), RefreshToken::salt());
        let next = token.next(salt);
        assert_eq!(next, token.next(salt));
        assert_ne!(next, token.next(RefreshToken::salt()));
        assert_ne!(next.hashes().secret, token.hashes().secret);
        assert_eq!(next.hashes().family, token.hashes().family);
        let other = RefreshToken::new();
        assert_ne!(other.next(salt).hashes().secret, next.hashes().secret);
        assert_ne!(other.hashes().family, token.hashes().family);
    }

    #[test]
    fn a_token_does_not_print_itself() {
        assert_eq!(format!("{:?}", RefreshToken::new()), "RefreshToken");
    }
}
