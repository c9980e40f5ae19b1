//! What an account has to look like, and what a refresh token means. Pure.

use std::{borrow::Cow, time::Duration};

use super::{
    AccountRefusal, PasswordFault,
    address::{EMAIL_MAX, email},
    guessable,
};
use crate::kernel::{Checks, composed, is_a_book, line};

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

/// A name as it is stored: one line with something that can be seen.
pub(super) fn name(text: &str) -> Result<String, AccountRefusal> {
    line(text, NAME_MAX).ok_or(AccountRefusal::NameInvalid)
}

/// A password in its one spelling, which is what is hashed: letters composed, and every kind of blank as a space (OpaqueString of RFC
/// 8265, section 4.2.2). Characters that it does not allow are kept: nobody sees what they have typed, and nobody could be told.
pub(super) fn opaque(password: &str) -> Cow<'_, str> {
    let is_blank = |c: char| c.is_whitespace() && !c.is_control() && c != ' ' && !is_line_end(c);
    if !password.contains(is_blank) {
        return composed(password);
    }
    let spaced: String = password.chars().map(|c| if is_blank(c) { ' ' } else { c }).collect();
    Cow::Owned(composed(&spaced).into_owned())
}

/// Whether a password may protect the account of somebody of whom these words are known. Length is what counts; beyond it only
/// what is tried first is refused.
pub(super) fn password(password: &str, known: &[&str]) -> Result<(), AccountRefusal> {
    let password = bounded(password).map(opaque).unwrap_or_default();
    let fault = if (PASSWORD_MIN..=PASSWORD_MAX).contains(&password.chars().count()) {
        guessable::why_guessable(&password, known)
    } else {
        Some(PasswordFault::Length)
    };
    fault.map_or(Ok(()), |fault| Err(AccountRefusal::PasswordWeak(fault)))
}

/// Address and name of who wants an account, as they are stored; or everything that is wrong.
pub(super) fn person(
    given_email: &str,
    given_name: &str,
    given_password: &str,
) -> Result<(String, String), Vec<AccountRefusal>> {
    let mut checks = Checks::default();
    let (email, name) = (email(given_email), name(given_name));
    // What is no address is no good password either; what is too long to be one is nobody's word.
    let short = |text| if str::chars(text).count() <= EMAIL_MAX { text } else { "" };
    let known = [
        email.as_deref().unwrap_or_else(|_| short(given_email)),
        name.as_deref().unwrap_or_else(|_| short(given_name)),
    ];
    let checked_password = password(given_password, &known);
    let email = checks.keep(email);
    checks.keep(checked_password);
    let name = checks.keep(name);
    checks.outcome((email.unwrap_or_default(), name.unwrap_or_default()))
}

/// Whether anybody can have this password at all, in its one spelling or, from before there was one, as it is.
pub(super) fn may_be_password(password: &str) -> bool {
    bounded(password).is_some_and(|password| {
        [password, &opaque(password)].iter().any(|it| it.chars().count() <= PASSWORD_MAX)
    })
}

/// A password, unless it is so long that no spelling of it can be short enough.
fn bounded(password: &str) -> Option<&str> {
    (!is_a_book(password, PASSWORD_MAX)).then_some(password)
}

const fn is_line_end(c: char) -> bool {
    matches!(c, '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_has_1_to_100_characters_that_can_be_seen() {
        assert_eq!(name(" 박민아 ").as_deref(), Ok("박민아"));
        assert_eq!(name("Zoe\u{308}").as_deref(), Ok("Zoë"));
        assert!(name(&"é".repeat(100)).is_ok());
        let hidden = ["\u{3164}", "\u{200B}\u{200D}", "\u{202E}", "Mi\u{202E}na", "\u{2028}"];
        let plain = ["", "  ", "a\nb", "a\0"].into_iter().chain(hidden).map(str::to_owned);
        for text in plain.chain(["é".repeat(101)]) {
            assert_eq!(name(&text), Err(AccountRefusal::NameInvalid), "{text:?}");
        }
    }

    #[test]
    fn a_password_is_the_same_however_a_keyboard_composes_it() {
        let jamo = "\u{1112}\u{1161}\u{11AB}\u{1100}\u{1173}\u{11AF}";
        for (one, other) in
            [("한글", jamo), ("zoë", "zoe\u{308}"), ("a b", "a\u{A0}b"), ("a b", "a\u{3000}b")]
        {
            assert_eq!(opaque(one), opaque(other), "{other:?}");
        }
        // Case, width and spaces around it are the password's own.
        for (one, other) in
            [("a", "A"), ("a", "ａ"), ("a", " a"), ("ﬁ", "fi"), ("a b", "a\u{2028}b")]
        {
            assert_ne!(opaque(one), opaque(other), "{other:?}");
        }
    }

    #[test]
    fn a_password_is_counted_in_its_one_spelling() {
        let composed: String = ('가'..).step_by(31).take(128).collect();
        let apart = icu_normalizer::DecomposingNormalizerBorrowed::new_nfd().normalize(&composed);
        assert!(apart.chars().count() > 200);
        assert_eq!(password(&apart, &[]), Ok(()));
        assert!(may_be_password(&apart) && may_be_password(&composed));
        assert!(!may_be_password(&"x".repeat(129)) && !may_be_password(&"x".repeat(60_000)));
        // Written apart in its one spelling, and an account from before has it.
        assert!(may_be_password(&"\u{FB2C}".repeat(100)));
        let seven = "\u{1112}\u{1161}\u{11AB}".repeat(7);
        assert_eq!(password(&seven, &[]), Err(AccountRefusal::PasswordWeak(PasswordFault::Length)));
    }

    #[test]
    fn a_password_has_8_to_128_characters() {
        let weak = Err(AccountRefusal::PasswordWeak(PasswordFault::Length));
        assert!(password("pässwör7", &["a@b.c"]).is_ok());
        assert!(password(&"abcdefgi".repeat(16), &["a@b.c"]).is_ok());
        assert_eq!(password("seven77", &["a@b.c"]), weak);
        assert_eq!(password(&"abc".repeat(43), &["a@b.c"]), weak);
    }

    #[test]
    fn everything_that_is_wrong_with_a_person_is_told_at_once() {
        use AccountRefusal::{EmailInvalid, NameInvalid, PasswordWeak};
        use PasswordFault::{Length, Personal};
        let good = "seven opossums";
        assert_eq!(person(" a@b.c ", " A ", good), Ok(("a@b.c".to_owned(), "A".to_owned())));
        assert_eq!(person("a@b.c", "A", "short"), Err(vec![PasswordWeak(Length)]));
        assert_eq!(person("", "", ""), Err(vec![EmailInvalid, PasswordWeak(Length), NameInvalid]));
        let own = "MINA@example.com";
        assert_eq!(person("mina@Example.com", "A", own), Err(vec![PasswordWeak(Personal)]));
        assert_eq!(person("a@b.c", "Mina Park", "minapark84"), Err(vec![PasswordWeak(Personal)]));
        // What is no address is no good password either.
        let both = Err(vec![EmailInvalid, PasswordWeak(Personal)]);
        assert_eq!(person("no address", "A", "No Address"), both);
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
        fn a_name_that_is_accepted_fits_the_table(text in ".{0,300}") {
            if let Ok(name) = name(&text) {
                prop_assert!((1..=100).contains(&name.chars().count()));
                prop_assert!(!name.contains('\0'));
            }
        }
    }
}
