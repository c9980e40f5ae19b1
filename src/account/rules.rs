//! What an account has to look like, and what a refresh token means. Pure.

use std::time::Duration;

use super::AccountRefusal;
use crate::kernel::Checks;

/// The longest e-mail address that mail systems carry, in characters (RFC 5321, erratum 1690).
const EMAIL_MAX: usize = 254;
const NAME_MAX: usize = 100;
/// The shortest password that is accepted, in characters.
const PASSWORD_MIN: usize = 8;
/// The longest, so that nobody makes us hash a book.
const PASSWORD_MAX: usize = 128;

/// How long a used refresh token is answered as before. An answer that a phone lost between two cells is asked for again within
/// seconds, and so ask two tabs of a browser. Who comes later has kept a token that somebody else has used.
pub(super) const GRACE: Duration = Duration::from_secs(60);

/// What a refresh token is to its session.
#[derive(Debug, Clone, Copy)]
pub(super) struct RefreshFacts {
    /// It is the present one.
    pub(super) present: bool,
    /// It is the one before.
    pub(super) previous: bool,
    /// Nobody is there any more whose session it could be.
    pub(super) gone: bool,
    /// The session is as old as sessions become.
    pub(super) aged: bool,
    /// The session was not refreshed in time.
    pub(super) unused: bool,
    /// Since when there is the present one.
    pub(super) since: Duration,
}

/// What follows when a refresh token was not the present one as it was tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presented {
    /// It is the present one by now: try again.
    Again,
    /// Its person has no account any more.
    Gone,
    /// Its session is as old as sessions become.
    Aged,
    /// Its session was not refreshed in time.
    Unused,
    /// It was used a moment ago: the same answer again.
    Repeated,
    /// It was used before by somebody who is not the one who shows it: the session must end.
    Reused,
}

/// What follows when a refresh token was not the present one as it was tried.
pub(super) fn presented(facts: &RefreshFacts) -> Presented {
    match facts {
        RefreshFacts { gone: true, .. } => Presented::Gone,
        RefreshFacts { aged: true, .. } => Presented::Aged,
        RefreshFacts { unused: true, .. } => Presented::Unused,
        RefreshFacts { present: true, .. } => Presented::Again,
        RefreshFacts { previous: true, since, .. } if *since <= GRACE => Presented::Repeated,
        RefreshFacts { .. } => Presented::Reused,
    }
}

/// An address as it is stored: trimmed, and otherwise as given. Whether it exists, only a mail can tell.
pub(super) fn email(text: &str) -> Result<&str, AccountRefusal> {
    let email = text.trim();
    let unfit = |c: char| c.is_control() || c.is_whitespace();
    let shaped = email.rsplit_once('@').is_some_and(|(local, domain)| {
        !local.is_empty()
            && !local.contains('@')
            && !domain.is_empty()
            && domain.split('.').all(|label| !label.is_empty())
    });
    if shaped && email.chars().count() <= EMAIL_MAX && !email.contains(unfit) {
        Ok(email)
    } else {
        Err(AccountRefusal::EmailInvalid)
    }
}

/// A name as it is stored: trimmed.
pub(super) fn name(text: &str) -> Result<&str, AccountRefusal> {
    let name = text.trim();
    if !name.is_empty() && name.chars().count() <= NAME_MAX && !name.contains(char::is_control) {
        Ok(name)
    } else {
        Err(AccountRefusal::NameInvalid)
    }
}

/// Whether a password may protect the account of `email`. Length is what counts; beyond it only what anybody would
/// try first is refused.
pub(super) fn password(password: &str, email: &str) -> Result<(), AccountRefusal> {
    let mut characters = password.chars();
    let first = characters.next();
    let monotonous = characters.all(|c| Some(c) == first);
    let guessable = monotonous || password.trim().to_lowercase() == email.to_lowercase();
    if (PASSWORD_MIN..=PASSWORD_MAX).contains(&password.chars().count()) && !guessable {
        Ok(())
    } else {
        Err(AccountRefusal::PasswordWeak)
    }
}

/// Address and name of who wants an account, as they are stored; or everything that is wrong.
pub(super) fn person<'a>(
    given_email: &'a str,
    given_name: &'a str,
    given_password: &str,
) -> Result<(&'a str, &'a str), Vec<AccountRefusal>> {
    let mut checks = Checks::default();
    let email = checks.keep(email(given_email));
    checks.keep(password(given_password, email.unwrap_or(given_email)));
    let name = checks.keep(name(given_name));
    checks.outcome((email.unwrap_or_default(), name.unwrap_or_default()))
}

/// Whether anybody can have this password at all.
pub(super) fn may_be_password(password: &str) -> bool {
    password.chars().count() <= PASSWORD_MAX
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_email_is_trimmed_and_otherwise_kept_as_given() {
        assert_eq!(email("  Mina.Park@Example.com "), Ok("Mina.Park@Example.com"));
        assert_eq!(email("민아@예시.한국"), Ok("민아@예시.한국"));
        assert_eq!(email("a@localhost"), Ok("a@localhost"));
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
        ] {
            assert_eq!(email(text), Err(AccountRefusal::EmailInvalid), "{text:?}");
        }
    }

    #[test]
    fn an_email_has_254_characters_at_most() {
        let of_length = |length: usize| format!("{}@example.com", "a".repeat(length - 12));
        assert!(email(&of_length(254)).is_ok());
        assert_eq!(email(&of_length(255)), Err(AccountRefusal::EmailInvalid));
    }

    #[test]
    fn a_name_has_1_to_100_characters_and_no_control_characters() {
        assert_eq!(name(" 박민아 "), Ok("박민아"));
        assert!(name(&"é".repeat(100)).is_ok());
        for text in
            [String::new(), "  ".to_owned(), "é".repeat(101), "a\nb".to_owned(), "a\0".to_owned()]
        {
            assert_eq!(name(&text), Err(AccountRefusal::NameInvalid), "{text:?}");
        }
    }

    #[test]
    fn a_password_has_8_to_128_characters() {
        assert!(password("pässwör7", "a@b.c").is_ok());
        assert!(password(&"ab".repeat(64), "a@b.c").is_ok());
        assert_eq!(password("seven77", "a@b.c"), Err(AccountRefusal::PasswordWeak));
        assert_eq!(password(&"abc".repeat(43), "a@b.c"), Err(AccountRefusal::PasswordWeak));
    }

    #[test]
    fn what_anybody_would_try_first_is_no_password() {
        assert_eq!(password("aaaaaaaaaa", "a@b.c"), Err(AccountRefusal::PasswordWeak));
        assert_eq!(
            password("MINA@example.com", "mina@Example.com"),
            Err(AccountRefusal::PasswordWeak)
        );
    }

    #[test]
    fn everything_that_is_wrong_with_a_person_is_told_at_once() {
        use AccountRefusal::{EmailInvalid, NameInvalid, PasswordWeak};
        assert_eq!(person(" a@b.c ", " A ", "password"), Ok(("a@b.c", "A")));
        assert_eq!(person("a@b.c", "A", "short"), Err(vec![PasswordWeak]));
        assert_eq!(person("", "", ""), Err(vec![EmailInvalid, PasswordWeak, NameInvalid]));
        // What is no address is no good password either.
        assert_eq!(person("no address", "A", "No Address"), Err(vec![EmailInvalid, PasswordWeak]));
    }

    #[test]
    fn a_used_refresh_token_is_answered_again_for_a_minute_and_ends_its_session_then() {
        let facts = |seconds: u64| RefreshFacts {
            present: false,
            previous: true,
            gone: false,
            aged: false,
            unused: false,
            since: Duration::from_secs(seconds),
        };
        assert_eq!(presented(&facts(0)), Presented::Repeated);
        assert_eq!(presented(&facts(60)), Presented::Repeated);
        assert_eq!(presented(&facts(61)), Presented::Reused);
        assert_eq!(presented(&RefreshFacts { previous: false, ..facts(0) }), Presented::Reused);
        assert_eq!(presented(&RefreshFacts { present: true, ..facts(90) }), Presented::Again);
        // Nothing is left to be ended.
        for present in [true, false] {
            let facts = RefreshFacts { present, unused: true, ..facts(90) };
            assert_eq!(presented(&facts), Presented::Unused);
            let facts = RefreshFacts { aged: true, ..facts };
            assert_eq!(presented(&facts), Presented::Aged);
            assert_eq!(presented(&RefreshFacts { gone: true, ..facts }), Presented::Gone);
        }
    }

    proptest! {
        #[test]
        fn what_is_accepted_fits_the_table(text in ".{0,300}") {
            if let Ok(email) = email(&text) {
                prop_assert!((3..=254).contains(&email.chars().count()));
                prop_assert!(!email.contains('\0'));
            }
            if let Ok(name) = name(&text) {
                prop_assert!((1..=100).contains(&name.chars().count()));
                prop_assert!(!name.contains('\0'));
            }
        }
    }
}
