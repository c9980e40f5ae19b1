//! The draw of those who came before the opening, recomputed from what was published.

use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{
    Verdict, grouped,
    order::{Waiter, counts, inspect},
};
use crate::history::{Draw, History, Ms, Visit};

/// The server ends the draw, and shows its secret, this long after the opening at the latest.
const SHOWN_WITHIN: Ms = 5_000;

/// What a person draws with their n-th place: the first 52 bits of a hash, of which the largest is the front of the line.
/// docs/fairness.md has the formula, and the server no part in this.
fn drawn(secret: &[u8], schedule: Uuid, person: Uuid, n: u32) -> u64 {
    let mut hash = Sha256::new();
    hash.update(secret);
    hash.update(schedule.as_bytes());
    hash.update(person.as_bytes());
    hash.update(n.to_be_bytes());
    let hash: [u8; 32] = hash.finalize().into();
    hash.iter().take(7).fold(0, |bits, byte| bits << 8 | u64::from(*byte)) >> 4
}

fn bytes(hexadecimal: &str) -> Option<Vec<u8>> {
    let digits = |at| u8::from_str_radix(hexadecimal.get(at..at + 2)?, 16).ok();
    (0..hexadecimal.len()).step_by(2).map(digits).collect()
}

/// People who came before the opening are admitted in the order that the secret gives, and the secret is the one committed
/// to.
pub(super) fn admitted_as_drawn(history: &History) -> Verdict {
    let mut verdict = Verdict::new("Drawn before the opening, as committed");
    let Some(draw) = &history.draw else {
        verdict.scope = "the room could not be asked for the secret".to_owned();
        return verdict;
    };
    let Some(secret) = &draw.secret else {
        never_shown(&mut verdict, history, draw);
        return verdict;
    };
    let shown = secret;
    let secret = bytes(shown).unwrap_or_default();
    if Some(Sha256::digest(&secret).to_vec()) != bytes(&draw.commitment) {
        verdict.looked_at += 1;
        verdict.violated(|| format!("secret {shown} is not that of {}", draw.commitment));
    }
    let (mut line, exempt) = early(history, draw, &secret);
    line.sort_unstable_by_key(|(drawn, _)| std::cmp::Reverse(*drawn));
    let mut latest: Option<(Ms, u32)> = None;
    for (_, waiter) in &line {
        inspect(&mut verdict, waiter, latest, "was drawn");
        latest = latest.max(Some((waiter.served, waiter.fan)));
    }
    verdict.scope = format!(
        "{} early fans compared, {} exempt (left or away)",
        grouped(verdict.looked_at),
        grouped(exempt)
    );
    verdict
}

/// A person who came early and is never shown the secret cannot see that the draw was fair.
fn never_shown(verdict: &mut Verdict, history: &History, draw: &Draw) {
    let before = |visit: &Visit| visit.entered_at < history.sales_open_at;
    let early = history.visits().filter(|(_, visit)| before(visit)).count();
    let since = draw.asked_at - history.clock_offset() - history.sales_open_at;
    verdict.scope = format!("no secret was shown; {} early fans", grouped(early));
    if early > 0 && since > SHOWN_WITHIN {
        verdict.looked_at = early;
        verdict.violated(|| {
            format!("{early} fans came early, and {since} ms after the opening no secret is shown")
        });
    }
}

/// Everybody who came before the opening, with what they drew.
fn early(history: &History, draw: &Draw, secret: &[u8]) -> (Vec<(u64, Waiter)>, usize) {
    let offset = history.clock_offset();
    let (mut line, mut exempt) = (Vec::new(), 0);
    for fan in &history.fans {
        let early = |visit: &&Visit| visit.entered_at < history.sales_open_at;
        for (n, visit) in (0..).zip(fan.visits.iter().filter(early)) {
            // A place that was there before may have had others before it.
            let known = fan.visits.iter().all(|visit| !visit.leftover);
            match fan.person.filter(|_| known && counts(visit)) {
                Some(person) => {
                    let waiter = Waiter::of(fan, visit, offset, (0, 0, 0));
                    line.push((drawn(secret, draw.schedule, person, n), waiter));
                }
                None => exempt += 1,
            }
        }
    }
    (line, exempt)
}

#[cfg(test)]
mod tests {
    use super::{super::planted, *};
    use crate::history::Fan;

    const SECRET: &str = "1111111111111111111111111111111111111111111111111111111111111111";

    fn rehearsal(fans: Vec<Fan>) -> History {
        let commitment = Sha256::digest(bytes(SECRET).unwrap());
        let commitment: String = commitment.iter().map(|byte| format!("{byte:02x}")).collect();
        let draw = Draw {
            schedule: Uuid::from_u128(1),
            commitment,
            secret: Some(SECRET.to_owned()),
            asked_at: 9_000,
        };
        History { draw: Some(draw), sales_open_at: 1_000, ..planted::history(fans) }
    }

    /// Ten early fans, admitted one after the other in the order that they drew.
    fn fair() -> Vec<Fan> {
        let mut people: Vec<u32> = (0..10).collect();
        let draws = |person: &u32| {
            drawn(
                &bytes(SECRET).unwrap(),
                Uuid::from_u128(1),
                Uuid::from_u128(u128::from(*person)),
                0,
            )
        };
        people.sort_by_key(|person| std::cmp::Reverse(draws(person)));
        let admitted = (0..).zip(people).map(|(place, person)| Fan {
            person: Some(Uuid::from_u128(u128::from(person))),
            ..planted::fan(person, i64::from(person) * 20, Some(2_000 + place * 100))
        });
        admitted.collect()
    }

    #[test]
    fn the_formula_is_the_published_one() {
        // printf '%0136d' 0 | xxd -r -p | sha256sum: 1751ac12e70e1 and on
        assert_eq!(drawn(&[0; 32], Uuid::nil(), Uuid::nil(), 0), 0x1_751a_c12e_70e1);
    }

    #[test]
    fn an_order_other_than_the_drawn_one_is_found() {
        let verdict = admitted_as_drawn(&rehearsal(fair()));
        assert_eq!((verdict.word(), verdict.looked_at), ("holds", 10), "{verdict:?}");
        let mut swapped = fair();
        let (first, last) = (swapped[0].visits[0].activated_at, swapped[9].visits[0].activated_at);
        swapped[0].visits[0].activated_at = last;
        swapped[9].visits[0].activated_at = first;
        assert!(admitted_as_drawn(&rehearsal(swapped)).violations > 0);
    }

    #[test]
    fn another_secret_than_the_committed_one_is_found() {
        let mut history = rehearsal(Vec::new());
        assert_eq!(admitted_as_drawn(&history).word(), "not exercised");
        if let Some(draw) = &mut history.draw {
            draw.commitment.replace_range(0..2, "00");
        }
        assert_eq!(admitted_as_drawn(&history).word(), "VIOLATED");
        history.draw = None;
        assert_eq!(admitted_as_drawn(&history).word(), "not exercised");
    }

    #[test]
    fn a_secret_that_is_never_shown_is_found_once_the_opening_is_past() {
        let hidden = |fans, asked_at| {
            let mut history = rehearsal(fans);
            if let Some(draw) = &mut history.draw {
                (draw.secret, draw.asked_at) = (None, asked_at);
            }
            admitted_as_drawn(&history)
        };
        assert_eq!(hidden(fair(), 9_000).word(), "VIOLATED");
        assert_eq!(hidden(fair(), 900).word(), "not exercised");
        assert_eq!(hidden(Vec::new(), 9_000).word(), "not exercised");
    }
}
