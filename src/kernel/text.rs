//! What people write, as it is kept and as it is compared: one spelling for what looks the same, and nothing that nobody sees.
//!
//! Keyboards compose letters in different ways: `é` is one character or two, `한` is one or three. Kept is the composed form (NFC).

use std::borrow::Cow;

use icu_normalizer::ComposingNormalizerBorrowed;
use icu_properties::{
    CodePointMapData, CodePointSetData,
    props::{DefaultIgnorableCodePoint, GeneralCategory, GeneralCategoryGroup},
};

/// So many characters may stand for one of the composed spelling, with one to spare. Longer texts are not composed: nobody makes us
/// compose a book.
const APART: usize = 4;
/// Has the shape of a character and shows nothing: braille, a note and two hieroglyphs that are blank.
const BLANK: [char; 4] = ['\u{2800}', '\u{1D159}', '\u{13441}', '\u{13442}'];

/// A text in its composed spelling (NFC), which is the same whatever keyboard it comes from.
pub fn composed(text: &str) -> Cow<'_, str> {
    ComposingNormalizerBorrowed::new_nfc().normalize(text)
}

/// The same for a text that is one's own: nothing is copied where nothing is to be done.
pub fn into_composed(text: String) -> String {
    match composed(&text) {
        Cow::Owned(composed) => composed,
        Cow::Borrowed(_) => text,
    }
}

/// A text without the differences of case and width, for looking it up in a list (NFKC of the small letters).
pub fn folded(text: &str) -> String {
    let form = ComposingNormalizerBorrowed::new_nfkc();
    form.normalize(&form.normalize(text).to_lowercase()).into_owned()
}

/// A text for telling whether two look the same: composed, spaces as one, and without what shows nothing.
pub fn appearance(text: &str) -> String {
    let seen: String = text.chars().filter(|&c| !is_ignorable(c)).collect();
    let words: Vec<&str> = seen.split_whitespace().collect();
    composed(&words.join(" ")).into_owned()
}

/// A text of one line as it is kept: composed, without space around it, and with something in it that can be seen. `None` when it is
/// none, longer than `max` characters, or turns the direction of what stands beside it.
///
/// Inside of a line what shows nothing stays: it joins the people of an emoji, parts the letters of a Persian word, and lets a
/// Thai one break.
pub fn line(text: &str, max: usize) -> Option<String> {
    let text = trimmed(text);
    if is_a_book(text, max) {
        return None;
    }
    let text = composed(text);
    let unfit = |c: char| c.is_control() || is_line_end(c) || turns(c);
    let fits = text.chars().count() <= max && text.chars().any(is_seen) && !text.contains(unfit);
    fits.then(|| text.into_owned())
}

/// A text of any number of lines as it is kept: composed, without space around it; empty when nothing of it can be seen. `None` when
/// it is longer than `max` characters, has control characters, or overrides the direction of its letters.
pub fn lines(text: &str, max: usize) -> Option<String> {
    let text = trimmed(text);
    if is_a_book(text, max) {
        return None;
    }
    let text = composed(text);
    let unfit = |c: char| (c.is_control() && !matches!(c, '\n' | '\r' | '\t')) || overrides(c);
    if text.chars().count() > max || text.contains(unfit) {
        return None;
    }
    Some(if text.chars().any(is_seen) { text.into_owned() } else { String::new() })
}

/// Whether a text is so long that no spelling of it has `max` characters.
pub fn is_a_book(text: &str, max: usize) -> bool {
    text.chars().nth(max.saturating_mul(APART)).is_some()
}

/// Whether a character shows nothing, wherever it stands, or turns the direction of others.
pub fn is_hidden(c: char) -> bool {
    is_ignorable(c) || turns(c) || is_line_end(c) || BLANK.contains(&c)
}

/// Without the space around it, and without what copying leaves there: a byte order mark, a space of no width.
pub fn trimmed(text: &str) -> &str {
    let around = |c: char| c.is_whitespace() || matches!(c, '\u{200B}' | '\u{2060}' | '\u{FEFF}');
    text.trim_matches(around)
}

/// Whether a character shows something by itself: no space, no mark on another, nothing that only formats.
fn is_seen(c: char) -> bool {
    let unseen = GeneralCategoryGroup::Separator
        .union(GeneralCategoryGroup::Mark)
        .union(GeneralCategoryGroup::Control)
        .union(GeneralCategoryGroup::Format);
    let category = CodePointMapData::<GeneralCategory>::new().get(c);
    !unseen.contains(category) && !is_ignorable(c) && !BLANK.contains(&c)
}

fn is_ignorable(c: char) -> bool {
    CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c)
}

const fn is_line_end(c: char) -> bool {
    matches!(c, '\u{2028}' | '\u{2029}')
}

/// Embeddings, overrides and isolates. They reach beyond the text that they stand in, and no keyboard writes them: a page gives a name
/// a direction of its own. The marks, which only stand for a letter, are none of them.
const fn turns(c: char) -> bool {
    matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// Shows letters in another order than they have; no language needs that.
const fn overrides(c: char) -> bool {
    matches!(c, '\u{202D}' | '\u{202E}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kept(text: &str) -> Option<String> {
        line(text, 100)
    }

    #[test]
    fn one_spelling_is_kept_however_a_keyboard_composes() {
        for (given, expected) in [
            ("Zoe\u{308}", "Zoë"),
            ("\u{1112}\u{1161}\u{11AB}\u{1100}\u{1173}\u{11AF}", "한글"),
            ("ế", "e\u{302}\u{301}"),
            ("Ａ", "Ａ"),
        ] {
            assert_eq!(kept(given).as_deref(), Some(&*composed(expected)), "{given:?}");
        }
    }

    #[test]
    fn what_nobody_sees_is_no_line() {
        for text in [
            "",
            " ",
            "\u{200B}",
            "\u{200C}\u{200D}",
            "\u{3164}",
            "\u{115F}\u{1160}",
            "\u{FFA0}",
            "\u{2060}\u{FEFF}",
            "\u{202E}",
            "\u{2066}\u{2069}",
            "\u{200E}\u{200F}\u{061C}",
            "\u{2028}",
            "\u{2029}",
            "\u{AD}",
            "\u{2800}",
            "\u{180E}",
            "\u{FE0F}",
            "\u{E0041}",
            "\u{301}",
            "\u{A0}\u{3000}",
            "\u{85}",
            "\u{34F}",
            "\u{17B4}",
            "\u{1D159}",
        ] {
            assert_eq!(kept(text), None, "{text:?}");
            assert_eq!(lines(text, 100).unwrap_or_default(), "", "{text:?}");
        }
    }

    #[test]
    fn what_joins_and_parts_letters_stays_inside() {
        for text in [
            "👩‍👩‍👧‍👦",
            "❤\u{FE0F}",
            "🏴\u{E0067}\u{E0062}\u{E0065}\u{E006E}\u{E0067}\u{E007F}",
            "می‌خواهم",
            "क्\u{200D}ष",
            "กรุง\u{200B}เทพ",
            "שלום\u{200F}!",
            "O\u{AD}Neill",
            "1️⃣",
            "!",
        ] {
            assert_eq!(kept(text).as_deref(), Some(&*composed(text)), "{text:?}");
        }
        assert_eq!(kept("\u{FEFF} Mina\u{200B}\u{2060} ").as_deref(), Some("Mina"));
    }

    #[test]
    fn a_line_turns_no_direction_and_has_no_end_inside() {
        for c in "\u{202A}\u{202B}\u{202C}\u{202D}\u{202E}\u{2066}\u{2067}\u{2068}\u{2069}\u{2028}\u{2029}\n\r\0\u{7F}".chars() {
            assert_eq!(kept(&format!("Mina{c}Park")), None, "{c:?}");
        }
        let rtl = "א\u{2067}ב\u{2069}\nג";
        assert_eq!(lines(rtl, 100).as_deref(), Some(rtl));
        assert_eq!(lines("a\u{202E}b", 100), None);
        assert_eq!(lines("a\0", 100), None);
    }

    #[test]
    fn a_line_is_counted_as_it_is_kept() {
        assert!(line(&"e\u{301}".repeat(100), 100).is_some());
        assert!(line(&"\u{1112}\u{1161}\u{11AB}".repeat(100), 100).is_some());
        assert_eq!(line(&"é".repeat(101), 100), None);
        // Some characters are written apart in the composed form.
        assert_eq!(line(&"\u{FB2C}".repeat(50), 100), None);
    }

    #[test]
    fn what_looks_the_same_is_told_by_its_appearance() {
        for (one, other) in [
            ("Café", "Cafe\u{301}"),
            ("Floor", "Flo\u{200B}or"),
            ("Floor A", "Floor\u{3000} A"),
            ("❤", "❤\u{FE0F}"),
            ("Floor", "\u{3164}Floor"),
        ] {
            assert_eq!(appearance(one), appearance(other), "{one:?} {other:?}");
        }
        assert_ne!(appearance("Floor"), appearance("floor"));
        assert_ne!(appearance("Floor A"), appearance("FloorA"));
    }

    #[test]
    fn folding_forgets_case_and_width() {
        assert_eq!(folded("ＰａＳＳ"), "pass");
        assert_eq!(folded("ZOE\u{308}"), "zoë");
        assert_eq!(folded("ﬁ"), "fi");
    }

    proptest! {
        #[test]
        fn a_line_that_was_kept_is_kept_as_it_is(text in "\\PC{0,80}") {
            if let Some(kept) = line(&text, 100) {
                prop_assert_eq!(line(&kept, 100), Some(kept.clone()));
                prop_assert!((1..=100).contains(&kept.chars().count()));
                prop_assert!(kept.chars().any(is_seen));
            }
        }

        #[test]
        fn every_spelling_of_a_line_is_kept_alike(text in "\\PC{0,20}") {
            let apart = icu_normalizer::DecomposingNormalizerBorrowed::new_nfd().normalize(&text).into_owned();
            prop_assert_eq!(line(&text, 200), line(&apart, 200));
            prop_assert_eq!(appearance(&text), appearance(&apart));
        }
    }
}
