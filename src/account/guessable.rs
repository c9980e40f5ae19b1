//! Whether a password is one of those that are tried first. Pure.
//!
//! Who guesses begins with the passwords that many people have, writes them large, puts a year behind them and a `0` for an `o`,
//! and then takes what is known of the person. All of that is seen through here. Nothing is asked of a password besides: several words
//! that have nothing to do with each other are a good one.

use super::PasswordFault;
use crate::kernel::folded;

/// Passwords that many people have: small letters, one a line, in the order of their bytes. Where they come from stands beside them.
const COMMON: &str = include_str!("../../assets/passwords/common.txt");
/// Words that the list lacks: of ticket shops, and what is tried first in Korean, as a word and as the keys that write it.
const OURS: [&str; 13] = [
    "concert",
    "concerts",
    "frontrow",
    "seats",
    "tickets",
    "비밀번호",
    "비번",
    "사랑해",
    "안녕하세요",
    "qlalfqjsgh",
    "qlqjs",
    "tkfkdgo",
    "dkssudgktpdy",
];
/// The name of this program, of which every shop has something in its address or on its page.
const PRODUCT: &str = "frontrow";
/// So many digits and signs around a word that everybody knows make no other password of it; a date has as many digits.
const AROUND: usize = 8;
/// So many characters beside what is known of a person protect nothing.
const BESIDE: usize = 4;
/// A unit of so many characters that is repeated is as good as once.
const UNIT: usize = 4;
/// Words of fewer bytes are found in too many texts. Two letters have as many, of a script that writes syllables one.
const WORD_BYTES: usize = 3;
/// The keys of a keyboard as fingers walk over them.
const WALKS: [&str; 9] = [
    "`1234567890-=",
    "qwertyuiop[]",
    "asdfghjkl;'",
    "zxcvbnm,./",
    "1q2w3e4r5t6y7u8i9o0p",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik,9ol.0p;/",
    "qazwsxedcrfvtgbyhnujmikolp",
    "zaq1xsw2cde3vfr4bgt5nhy6mju7",
    "zaq12wsxcde34rfvbgt56yhn",
];

/// Why a password would be guessed soon, of a person of whom these words are known: an address, a name.
pub(super) fn why_guessable(password: &str, known: &[&str]) -> Option<PasswordFault> {
    let plain = folded(password);
    if is_simple(&plain) {
        return Some(PasswordFault::Simple);
    }
    let read = readings(&plain);
    if read.iter().any(|form| is_made_of_a_common_one(form)) {
        return Some(PasswordFault::Common);
    }
    let words = words_of(known);
    let personal = |form: &String| is_made_of(&letters_and_digits(form), &words);
    read.iter().any(personal).then_some(PasswordFault::Personal)
}

/// A text as it stands, and as it reads when digits and signs are taken for the letters that they look like.
fn readings(plain: &str) -> Vec<String> {
    let trimmed = plain.trim_end_matches(|c: char| !c.is_alphabetic());
    let rest = &plain[trimmed.len()..];
    let mut readings = vec![plain.to_owned()];
    for one in ['i', 'l'] {
        let read = |text: &str| text.chars().map(|c| letter_of(c, one)).collect::<String>();
        // What stands at the end is a year more often than a letter.
        readings.extend([format!("{}{rest}", read(trimmed)), read(plain)]);
    }
    readings.dedup();
    readings
}

const fn letter_of(c: char, one: char) -> char {
    match c {
        '0' => 'o',
        '1' | '!' | '|' => one,
        '3' | '€' => 'e',
        '4' | '@' => 'a',
        '5' | '$' => 's',
        '7' | '+' => 't',
        '8' => 'b',
        other => other,
    }
}

/// Whether a text is a common password: with a little around it, several times, or with signs between its letters.
fn is_made_of_a_common_one(text: &str) -> bool {
    let bare = letters_and_digits(text);
    [text, &bare].into_iter().any(|form| {
        let unit = unit_of(form);
        [form, unit, &unit.repeat(2)].into_iter().any(is_common_inside)
    })
}

/// Whether a text is common without some digits and signs around it.
fn is_common_inside(text: &str) -> bool {
    let is_around = |c: char| !c.is_alphabetic();
    // What is cut off: nothing, the first character, the first two, ...
    let heads =
        text.char_indices().take_while(|&(_, c)| is_around(c)).map(|(at, c)| at + c.len_utf8());
    let heads = std::iter::once(0).chain(heads);
    let short = heads.take(AROUND + 1).enumerate().any(|(before, start)| {
        let rest = &text[start..];
        let tails = rest.char_indices().rev().take_while(|&(_, c)| is_around(c)).map(|(at, _)| at);
        let tails = std::iter::once(rest.len()).chain(tails);
        tails.take(AROUND + 1 - before).any(|end| is_common(&rest[..end]))
    });
    short || {
        let word = text.trim_matches(is_around);
        let rest = text.replacen(word, "", 1);
        is_common(word) && (is_simple(&rest) || is_common(&rest))
    }
}

/// Whether many people have this password.
fn is_common(text: &str) -> bool {
    OURS.contains(&text) || is_listed(text, COMMON)
}

/// Whether a text is a line of a list whose lines are in the order of their bytes.
fn is_listed(text: &str, mut list: &str) -> bool {
    if text.is_empty() || text.contains('\n') {
        return false;
    }
    while !list.is_empty() {
        let bytes = list.as_bytes();
        let is_end = |byte: &u8| *byte == b'\n';
        let (before, after) = bytes.split_at(bytes.len() / 2);
        let start = before.iter().rposition(is_end).map_or(0, |end| end + 1);
        let end = after.iter().position(is_end).map_or(bytes.len(), |end| before.len() + end);
        match text.as_bytes().cmp(&bytes[start..end]) {
            std::cmp::Ordering::Equal => return true,
            // Lines begin and end beside line ends, so no character is cut in two.
            std::cmp::Ordering::Less => list = &list[..start],
            std::cmp::Ordering::Greater => list = list.get(end + 1..).unwrap_or_default(),
        }
    }
    false
}

/// Whether a text is a few characters again and again, follows a keyboard or the alphabet, or may be a date.
fn is_simple(text: &str) -> bool {
    let chars: Vec<char> = text.chars().collect();
    let digits = chars.iter().filter(|c| c.is_numeric()).count();
    let signs = chars.len() - digits;
    if digits <= AROUND && signs <= BESIDE && !text.contains(char::is_alphabetic) {
        return true;
    }
    if unit_of(text).chars().count() <= UNIT && chars.len() > UNIT {
        return true;
    }
    let walked = |walk: &str| walk.contains(text) || reversed(walk).contains(text);
    steps(&chars) <= 3 || (chars.len() >= UNIT && WALKS.iter().any(|walk| walked(walk)))
}

/// The shortest text that makes this one when it is repeated, perhaps not to its end.
fn unit_of(text: &str) -> &str {
    let chars: Vec<(usize, char)> = text.char_indices().collect();
    let repeats = |length: usize| {
        chars.iter().zip(chars.iter().skip(length)).all(|((_, one), (_, other))| one == other)
    };
    let length = (1..=chars.len() / 2).find(|&length| repeats(length));
    length.and_then(|length| chars.get(length)).map_or(text, |&(end, _)| &text[..end])
}

/// In how many steps a text can be told: what follows each other, or is the same, three times or more, is one.
fn steps(chars: &[char]) -> usize {
    let (mut steps, mut rest) = (0, chars);
    while !rest.is_empty() {
        let run = [0, 1, -1].into_iter().map(|by| run_of(rest, by)).max().unwrap_or(1);
        steps += 1;
        rest = &rest[if run >= 3 { run } else { 1 }..];
    }
    steps
}

/// How many characters at the beginning follow each other: in their code, or on a row of keys.
fn run_of(chars: &[char], by: i32) -> usize {
    let follows = |pair: &[char]| {
        let [one, other] = *pair else { return false };
        let row = |row: &str| {
            let place =
                |c| row.chars().position(|key| key == c).and_then(|at| i32::try_from(at).ok());
            place(one).zip(place(other)).is_some_and(|(one, other)| other - one == by)
        };
        let code = |c: char| i64::from(u32::from(c));
        code(other) - code(one) == i64::from(by) || WALKS[..4].iter().any(|keys| row(keys))
    };
    chars.windows(2).take_while(|pair| follows(pair)).count() + 1
}

/// What an address and a name are made of, each word by itself and all of it at once; the longest first.
fn words_of(known: &[&str]) -> Vec<String> {
    let mut words = vec![PRODUCT.to_owned()];
    for text in known {
        let text = folded(text);
        let parts = text.split(|c: char| !c.is_alphanumeric()).map(str::to_owned);
        words.extend(parts);
        words.extend(text.split('@').map(letters_and_digits));
    }
    words.retain(|word| word.len() >= WORD_BYTES);
    words.sort_unstable_by(|one, other| other.len().cmp(&one.len()).then_with(|| one.cmp(other)));
    words.dedup();
    words
}

/// Whether little is left of a text when these words are taken out, or a common password.
fn is_made_of(text: &str, words: &[String]) -> bool {
    let rest = words.iter().fold(text.to_owned(), |rest, word| rest.replace(word, ""));
    let characters = rest.chars().count();
    rest.len() < text.len()
        && (characters <= BESIDE || is_simple(&rest) || is_made_of_a_common_one(&rest))
}

fn letters_and_digits(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric()).collect()
}

fn reversed(text: &str) -> String {
    text.chars().rev().collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MINA: [&str; 2] = ["mina.park84@sky-mail.example", "Mina Park-Lee 박민아"];

    fn why(password: &str) -> Option<PasswordFault> {
        why_guessable(password, &MINA)
    }

    #[test]
    fn what_many_people_have_is_refused() {
        for password in [
            "password",
            "password1",
            "Password1",
            "PASSWORD",
            "Password123!",
            "p@ssw0rd",
            "P@$$w0rd",
            "Passw0rd2026",
            "pass-word",
            "passwordpassword",
            "iloveyou",
            "I love you!",
            "ilovey0u",
            "sunshine",
            "Sunshine1987",
            "football",
            "baseball7",
            "superman",
            "princess",
            "princes5",
            "trustno1",
            "welcome1",
            "Welcome2026!",
            "letmein1",
            "l3tm31n!",
            "administrator",
            "admin123",
            "changeme",
            "michelle",
            "jennifer",
            "dragon2026",
            "monkey123",
            "1234password",
            "!!password!!",
            "starwars",
            "whatever",
            "computer",
            "ｐａｓｓｗｏｒｄ",
            "비밀번호1234",
            "qlalfqjsgh1!",
            "사랑해2026!!",
            "안녕하세요2026",
            "Tickets2026",
            "concert1!",
            "пароль2026",
        ] {
            assert_eq!(why(password), Some(PasswordFault::Common), "{password}");
        }
    }

    #[test]
    fn what_repeats_or_follows_is_refused() {
        for password in [
            "aaaaaaaa",
            "abababababab",
            "12345678",
            "87654321",
            "1234567890",
            "0123456789",
            "11112222",
            "111222333",
            "abcdefgh",
            "abcd1234",
            "zyxwvuts",
            "qwertyuiop",
            "poiuytrewq",
            "qwer1234",
            "asdfghjkl;",
            "qwertyasdfgh",
            "1q2w3e4r5t",
            "1qaz2wsx",
            "zaq12wsx",
            "xyz9xyz9xyz9",
            "ㅁㄴㅇㄹㅁㄴㅇㄹ",
            "가나다가나다가나다",
            "        ",
            "19870412",
            "21.11.2026",
            "12/24/1999",
        ] {
            assert_eq!(why(password), Some(PasswordFault::Simple), "{password}");
        }
    }

    #[test]
    fn what_is_known_of_a_person_and_of_the_shop_is_refused() {
        for password in [
            "mina.park84@sky-mail.example",
            "MINA.PARK84",
            "minapark1984",
            "ParkMina!!",
            "m1napark",
            "park-lee-mina",
            "skymail2026",
            "박민아박민아20",
            "박민아19840412",
            "Mina-password1",
            "frontrow",
            "FrontRow2026",
            "front-row-demo",
            "fr0ntr0w!",
            "frontrow-mina",
            "mina12345678",
            "minaqwerty",
        ] {
            assert!(
                matches!(why(password), Some(PasswordFault::Personal | PasswordFault::Common)),
                "{password}: {:?}",
                why(password)
            );
        }
        // Of somebody else nothing of that is known.
        for password in ["MINA.PARK84", "park-lee-mina", "박민아19840412"] {
            assert_eq!(why_guessable(password, &["jo@else.example", "Jo"]), None, "{password}");
        }
        assert_eq!(why_guessable("frontrow2026", &[]), Some(PasswordFault::Common));
        assert_eq!(why_guessable("front-row-crew", &[]), Some(PasswordFault::Personal));
    }

    #[test]
    fn good_ones_pass() {
        for password in [
            "correct horse battery",
            "correct horse battery staple",
            "a fair long password",
            "another-password",
            "purple monkey dishwasher",
            "tiger lily 42 pond",
            "Mina likes opossums in spring",
            "the front row was empty",
            "pässwör7",
            "xK9#mQ2$vL5n",
            "7hK2pQx9",
            "gq8z-wv3k",
            "우리집고양이는까칠해",
            "분홍코끼리 세마리",
            "kein Bier vor vier",
            "öffne den Kühlschrank",
            "正確な馬の電池",
            "sunshine over harbour",
            "password manager made this",
            "4f9c1e0b7d22",
            "no1ticketsleft",
            "Zürich-Basel 7:04",
            "ㅋㅋ오늘은치킨",
            "un éléphant ça trompe",
            "horse1-Orchid-lamp",
            "monkey wrench",
            "🦊🌲🍂🌧🦔🍄🪵🌫",
        ] {
            assert_eq!(why(password), None, "{password}");
        }
    }

    #[test]
    fn the_list_is_in_order_and_every_word_of_it_is_found() {
        let lines: Vec<&str> = COMMON.lines().collect();
        assert!(lines.len() > 19_000 && lines.is_sorted_by(|one, other| one < other));
        assert!(lines.iter().all(|line| line.len() > 2 && folded(line) == **line));
        assert!(lines.iter().all(|line| is_listed(line, COMMON)));
        assert!(OURS.iter().all(|word| folded(word) == *word));
    }

    proptest! {
        #[test]
        fn a_word_is_listed_when_a_line_is_like_it(mut lines in prop::collection::vec("[a-cé]{1,4}", 0..12), word in "[a-cé\n]{0,4}") {
            lines.sort_unstable();
            lines.dedup();
            let list: String = lines.iter().map(|line| format!("{line}\n")).collect();
            prop_assert_eq!(is_listed(&word, &list), lines.contains(&word));
        }

        #[test]
        fn whatever_is_done_to_a_common_one_it_is_refused(at in 0..19_000_usize, year in 1950..2030, sign in "[!?.#*]{0,3}", large in any::<bool>()) {
            let word = COMMON.lines().nth(at).unwrap();
            let word = if large { word.to_uppercase() } else { word.to_owned() };
            for password in [format!("{word}{year}{sign}"), format!("{sign}{word}"), word.repeat(3)] {
                prop_assert!(why(&password).is_some(), "{}", password);
            }
        }

        #[test]
        fn four_words_of_no_list_pass(words in prop::array::uniform4("[bdfgkmptvz][aeiou][lnrs][bdfgkmptvz][aeiou]")) {
            prop_assume!(words[0] != words[2] || words[1] != words[3]);
            prop_assume!(words[0] != words[1] || words[1] != words[2]);
            prop_assert_eq!(why(&words.join(" ")), None);
        }

        #[test]
        fn whatever_is_given_is_judged(password in "\\PC{0,128}", name in "\\PC{0,100}", email in "\\PC{0,40}@\\PC{0,40}") {
            _ = why_guessable(&password, &[&email, &name]);
        }
    }
}
