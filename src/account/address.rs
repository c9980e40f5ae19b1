//! E-mail addresses: what one looks like, how it is stored, and how else it may have been written. Pure.
//!
//! Stored is one spelling: letters composed, and a domain of another script in that script. `xn--bcher-kva` and `bücher` are one domain, and
//! mail goes to the same place.

use std::borrow::Cow;

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};

use super::AccountRefusal;
use crate::kernel::{composed, is_a_book, is_hidden, trimmed};

/// The longest e-mail address that mail systems carry, in characters (RFC 5321, erratum 1690).
pub(super) const EMAIL_MAX: usize = 254;
/// What a domain in ASCII begins its part with that stands for another script.
const IN_ASCII: &str = "xn--";

/// An address as it is stored: trimmed, in its one spelling, and otherwise as given. Whether it exists, only a mail can tell.
pub(super) fn email(text: &str) -> Result<String, AccountRefusal> {
    let given = trimmed(text);
    if is_a_book(given, EMAIL_MAX) {
        return Err(AccountRefusal::EmailInvalid);
    }
    let found = one_spelling(given).filter(|email| is_address(email) && !email.contains(is_hidden));
    found.ok_or(AccountRefusal::EmailInvalid)
}

/// The spellings under which an account of this address may have been stored, the likeliest first: as given, which tells two
/// accounts apart that are older than the one spelling; in that; and with its domain in ASCII. None for what is no address.
pub(super) fn spellings(text: &str) -> Vec<String> {
    let given = text.trim();
    let as_given = Some(given).filter(|given| is_address(given)).map(str::to_owned);
    let mut spellings: Vec<String> = as_given.into_iter().collect();
    if let Ok(email) = email(text) {
        let in_ascii = in_other_script(&email).filter(|email| is_address(email));
        for other in [Some(email), in_ascii].into_iter().flatten() {
            if !spellings.contains(&other) {
                spellings.push(other);
            }
        }
    }
    spellings
}

/// Whether a text has the shape of an address and fits the table.
fn is_address(email: &str) -> bool {
    let unfit = |c: char| c.is_control() || c.is_whitespace();
    email.rsplit_once('@').is_some_and(|(local, domain)| {
        !local.is_empty()
            && !local.contains('@')
            && !domain.is_empty()
            && domain.split('.').all(|label| !label.is_empty())
    }) && email.chars().count() <= EMAIL_MAX
        && !email.contains(unfit)
}

/// `None` when the domain is none of any script.
fn one_spelling(email: &str) -> Option<String> {
    let email = composed(email);
    let Some((local, domain)) = email.rsplit_once('@').filter(|(_, domain)| is_of_a_script(domain))
    else {
        return Some(email.into_owned());
    };
    in_its_script(domain).map(|domain| format!("{local}@{domain}"))
}

/// A part of an address with its domain in the other script; `None` for what has no such domain.
pub fn in_other_script(part: &str) -> Option<String> {
    let domain = part.rfind('@').map_or(part, |at| &part[at + 1..]);
    if !is_of_a_script(domain) {
        return None;
    }
    let before = &part[..part.len() - domain.len()];
    let other = if domain.is_ascii() { in_its_script(domain) } else { in_ascii(domain) };
    other.map(|domain| format!("{before}{domain}"))
}

fn in_its_script(domain: &str) -> Option<String> {
    let (deny, any) = (AsciiDenyList::EMPTY, Hyphens::Allow);
    let (domain, fault) = Uts46::new().to_unicode(domain.as_bytes(), deny, any);
    fault.ok().map(|()| domain.into_owned())
}

fn in_ascii(domain: &str) -> Option<String> {
    let (deny, any, long) = (AsciiDenyList::EMPTY, Hyphens::Allow, DnsLength::Ignore);
    Uts46::new().to_ascii(domain.as_bytes(), deny, any, long).ok().map(Cow::into_owned)
}

/// Whether a domain is of another script than ASCII, however it is written.
fn is_of_a_script(domain: &str) -> bool {
    let encoded = |label: &str| {
        label.get(..IN_ASCII.len()).is_some_and(|head| head.eq_ignore_ascii_case(IN_ASCII))
    };
    !domain.is_ascii() || domain.split('.').any(encoded)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kept(text: &str) -> Option<String> {
        email(text).ok()
    }

    #[test]
    fn an_email_is_trimmed_and_otherwise_kept_as_given() {
        for (given, stored) in [
            ("  Mina.Park@Example.com ", "Mina.Park@Example.com"),
            ("민아@예시.한국", "민아@예시.한국"),
            ("a@localhost", "a@localhost"),
            ("a@under_score.example", "a@under_score.example"),
            ("a+b@XN--caf-dma.example", "a+b@café.example"),
        ] {
            assert_eq!(kept(given).as_deref(), Some(stored), "{given}");
        }
    }

    #[test]
    fn every_spelling_of_an_address_is_kept_alike() {
        for (stored, others) in [
            ("zoë@example.com", vec!["zoe\u{308}@example.com", "\u{FEFF}zoë@example.com\u{200B}"]),
            (
                "한글@예시.한국",
                vec![
                    "\u{1112}\u{1161}\u{11AB}\u{1100}\u{1173}\u{11AF}@예시.한국",
                    "한글@xn--vv4b11d.xn--3e0b707e",
                    "한글@xn--vv4b11d.한국",
                    "한글@XN--VV4B11D.XN--3E0B707E",
                    "한글@예시。한국",
                ],
            ),
            (
                "a@bücher.example",
                vec!["a@xn--bcher-kva.example", "a@BÜCHER.example", "a@bu\u{308}cher.EXAMPLE"],
            ),
        ] {
            assert_eq!(kept(stored).as_deref(), Some(stored));
            for other in others {
                assert_eq!(kept(other).as_deref(), Some(stored), "{other}");
                assert!(spellings(other).contains(&stored.to_owned()), "{other}");
            }
        }
    }

    #[test]
    fn a_part_of_an_address_is_found_in_the_other_script() {
        for (part, other) in [
            ("예시.한국", Some("xn--vv4b11d.xn--3e0b707e")),
            ("@xn--bcher-kva.example", Some("@bücher.example")),
            ("mina@bücher.example", Some("mina@xn--bcher-kva.example")),
            ("XN--bcher-kva", Some("bücher")),
            ("mina@example.com", None),
            ("xn--", None),
            ("", None),
        ] {
            assert_eq!(in_other_script(part).as_deref(), other, "{part}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            " ",
            "mina",
            "@",
            "mina@",
            "@example.com",
            "a@b@c",
            "a b@c.d",
            "a@b..c",
            "a@.b",
            "a\0@b.c",
            "\u{200B}@b.c",
            "mi\u{200B}na@b.c",
            "\u{3164}@b.c",
            "mina\u{202E}@b.c",
            "mi\u{2028}na@b.c",
            "mina@\u{200B}",
            "mina@\u{3164}.example",
            "a@xn--.example",
            "a@xn--a-ecp.ru",
            "a@\u{FFFD}.example",
            "mi\u{AD}na@b.c",
        ] {
            assert_eq!(email(text), Err(AccountRefusal::EmailInvalid), "{text:?}");
        }
    }

    #[test]
    fn an_email_has_254_characters_at_most() {
        let of_length = |length: usize| format!("{}@example.com", "a".repeat(length - 12));
        assert!(email(&of_length(254)).is_ok());
        assert_eq!(email(&of_length(255)), Err(AccountRefusal::EmailInvalid));
        assert_eq!(email(&of_length(60_000)), Err(AccountRefusal::EmailInvalid));
        // Counted as it is stored.
        assert!(email(&format!("{}@example.com", "e\u{301}".repeat(242))).is_ok());
    }

    #[test]
    fn older_accounts_are_looked_for_as_they_were_given() {
        assert_eq!(spellings(" Mina@example.com "), ["Mina@example.com"]);
        assert_eq!(
            spellings("zoe\u{308}@example.com"),
            ["zoe\u{308}@example.com", "zoë@example.com"]
        );
        let ascii = "a@xn--bcher-kva.example";
        assert_eq!(spellings(ascii), [ascii, "a@bücher.example"]);
        assert_eq!(spellings("a@bücher.example"), ["a@bücher.example", ascii]);
        // What is no address any more may have been one.
        assert_eq!(spellings("mi\u{200B}na@b.c"), ["mi\u{200B}na@b.c"]);
        assert_eq!(spellings("no address"), Vec::<String>::new());
        assert_eq!(spellings("a\0@b.c"), Vec::<String>::new());
    }

    proptest! {
        #[test]
        fn what_is_kept_is_kept_as_it_is_and_fits_the_table(text in "\\PC{0,12}@\\PC{0,12}(\\.[a-z한é]{1,4})?") {
            if let Ok(kept) = email(&text) {
                prop_assert_eq!(email(&kept), Ok(kept.clone()));
                prop_assert!((3..=254).contains(&kept.chars().count()));
                prop_assert!(spellings(&text).contains(&kept));
            }
            prop_assert!(spellings(&text).iter().all(|it| it.chars().count() <= 254 && !it.contains('\0')));
        }
    }
}
