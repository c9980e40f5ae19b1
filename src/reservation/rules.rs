//! Why a hold was refused, and which seats are best side by side. Pure.

use std::collections::HashSet;

use super::{HoldCode, HoldRefusal, SeatStatus};
use crate::{kernel::SeatId, waiting_room::QueueStatus};

/// Seats that one person may ask for at once, whatever the performance allows.
pub const SEATS_MAX: usize = 20;

/// What a refused hold found.
#[derive(Debug, Clone, Default)]
pub(super) struct HoldFacts {
    /// What the token is worth to a new hold, by the database's clock: EXPIRED too when its ACTIVE time since admission is
    /// over and only a hold keeps it; `None` when there is no such token of this person and schedule.
    pub token: Option<QueueStatus>,
    /// ON_SALE, and between opening and closing.
    pub on_sale: bool,
    /// Seats that the person holds or owns already.
    pub taken: i64,
    /// Seats that one person may hold and own.
    pub limit: i32,
    /// The seats asked for, those that exist.
    pub seats: Vec<(SeatId, SeatStatus)>,
}

/// Why these seats cannot be held; `None` when nothing stands in the way any more, and trying again is right.
pub(super) fn why_refused(facts: &HoldFacts, asked: &[SeatId]) -> Option<HoldRefusal> {
    let refuse = |code| Some(HoldRefusal { code, seat_ids: Vec::new() });
    match facts.token {
        None => return refuse(HoldCode::QueueTokenInvalid),
        Some(QueueStatus::Waiting) => return refuse(HoldCode::QueueNotActive),
        Some(QueueStatus::Used | QueueStatus::Expired) => return refuse(HoldCode::QueueEnded),
        Some(QueueStatus::Active) => {}
    }
    if !facts.on_sale {
        return refuse(HoldCode::SaleClosed);
    }
    let known: HashSet<SeatId> = facts.seats.iter().map(|(id, _)| *id).collect();
    let unknown: Vec<SeatId> = asked.iter().copied().filter(|id| !known.contains(id)).collect();
    if !unknown.is_empty() {
        return Some(HoldRefusal { code: HoldCode::SeatNotFound, seat_ids: unknown });
    }
    let wanted = i64::try_from(asked.len()).unwrap_or(i64::MAX);
    if facts.taken.saturating_add(wanted) > i64::from(facts.limit) {
        return refuse(HoldCode::SeatLimitReached);
    }
    for (status, code) in
        [(SeatStatus::SoldOut, HoldCode::SeatSold), (SeatStatus::Hold, HoldCode::SeatHeld)]
    {
        let cause: Vec<SeatId> =
            facts.seats.iter().filter(|(_, found)| *found == status).map(|(id, _)| *id).collect();
        if !cause.is_empty() {
            return Some(HoldRefusal { code, seat_ids: cause });
        }
    }
    None
}

/// Whether somebody was refused because of the seats, and not because of themselves or the sale: they are still choosing.
pub(super) const fn was_busy(code: HoldCode) -> bool {
    matches!(
        code,
        HoldCode::SeatHeld
            | HoldCode::SeatSold
            | HoldCode::NoAdjacentSeats
            | HoldCode::SeatLimitReached
    )
}

/// A free seat, for choosing neighbours. Neighbours share section and row and have consecutive numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FreeSeat {
    pub id: SeatId,
    pub section: String,
    pub row_index: i32,
    pub number: i32,
    /// Lower is better.
    pub preference: i32,
}

/// The best blocks of `count` adjacent seats, at most `most` of them, best first; no two share a seat, and none has a
/// `lost` one. A block is the better the lower its sum of preferences; the first of equals.
///
/// `seats` are sorted by section, row and number.
pub(super) fn best_blocks(
    seats: &[FreeSeat],
    count: usize,
    lost: &HashSet<SeatId>,
    most: usize,
) -> Vec<Vec<SeatId>> {
    if count == 0 {
        return Vec::new();
    }
    let sum = |block: &[FreeSeat]| block.iter().map(|seat| i64::from(seat.preference)).sum::<i64>();
    let mut ranked: Vec<(i64, usize)> = seats
        .windows(count)
        .enumerate()
        .filter(|(_, block)| block.windows(2).all(|pair| adjacent(&pair[0], &pair[1])))
        .map(|(start, block)| (sum(block), start))
        .collect();
    ranked.sort_unstable();
    let mut given: Vec<bool> = seats.iter().map(|seat| lost.contains(&seat.id)).collect();
    let mut blocks = Vec::new();
    for (_, start) in ranked {
        if blocks.len() == most {
            break;
        }
        let place = start..start + count;
        if !given[place.clone()].contains(&true) {
            given[place.clone()].fill(true);
            blocks.push(seats[place].iter().map(|seat| seat.id).collect());
        }
    }
    blocks
}

fn adjacent(left: &FreeSeat, right: &FreeSeat) -> bool {
    left.section == right.section
        && left.row_index == right.row_index
        && left.number + 1 == right.number
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn id(n: u128) -> SeatId {
        SeatId(Uuid::from_u128(n))
    }

    fn facts() -> HoldFacts {
        HoldFacts {
            token: Some(QueueStatus::Active),
            on_sale: true,
            taken: 0,
            limit: 2,
            seats: vec![(id(1), SeatStatus::Available), (id(2), SeatStatus::Available)],
        }
    }

    fn code(facts: &HoldFacts) -> Option<HoldCode> {
        why_refused(facts, &[id(1), id(2)]).map(|refusal| refusal.code)
    }

    #[test]
    fn nothing_in_the_way_means_try_again() {
        assert_eq!(code(&facts()), None);
    }

    #[test]
    fn the_token_is_looked_at_first_so_that_strangers_learn_nothing_about_seats() {
        let sold = vec![(id(1), SeatStatus::SoldOut), (id(2), SeatStatus::Hold)];
        let with = |token| HoldFacts { token, on_sale: false, seats: sold.clone(), ..facts() };
        assert_eq!(code(&with(None)), Some(HoldCode::QueueTokenInvalid));
        assert_eq!(code(&with(Some(QueueStatus::Waiting))), Some(HoldCode::QueueNotActive));
        assert_eq!(code(&with(Some(QueueStatus::Used))), Some(HoldCode::QueueEnded));
        assert_eq!(code(&with(Some(QueueStatus::Expired))), Some(HoldCode::QueueEnded));
        assert_eq!(code(&with(Some(QueueStatus::Active))), Some(HoldCode::SaleClosed));
    }

    #[test]
    fn the_seats_at_fault_are_named() {
        let mut facts = facts();
        facts.seats = vec![(id(1), SeatStatus::Hold), (id(2), SeatStatus::SoldOut)];
        let refusal = why_refused(&facts, &[id(1), id(2)]).unwrap();
        assert_eq!((refusal.code, refusal.seat_ids), (HoldCode::SeatSold, vec![id(2)]));
        let refusal = why_refused(&facts, &[id(1), id(2), id(3)]).unwrap();
        assert_eq!((refusal.code, refusal.seat_ids), (HoldCode::SeatNotFound, vec![id(3)]));
    }

    #[test]
    fn seats_held_and_owned_count_against_the_limit() {
        assert_eq!(code(&HoldFacts { taken: 1, ..facts() }), Some(HoldCode::SeatLimitReached));
        assert_eq!(code(&HoldFacts { taken: 1, limit: 3, ..facts() }), None);
    }

    fn seat(n: u128, row_index: i32, number: i32, preference: i32) -> FreeSeat {
        FreeSeat { id: id(n), section: "A".to_owned(), row_index, number, preference }
    }

    #[test]
    fn the_best_block_is_adjacent_and_has_the_lowest_sum_of_preferences() {
        let hall = [
            seat(1, 0, 1, 9),
            seat(2, 0, 3, 1),
            seat(3, 0, 4, 2),
            seat(4, 1, 5, 1),
            seat(5, 1, 6, 1),
        ];
        let best = |count, lost: &[u128], most| {
            let lost = lost.iter().map(|n| id(*n)).collect();
            best_blocks(&hall, count, &lost, most)
        };
        assert_eq!(best(2, &[], 1), [[id(4), id(5)]]);
        assert_eq!(best(2, &[], 9), [[id(4), id(5)], [id(2), id(3)]]);
        assert_eq!(best(2, &[5], 9), [[id(2), id(3)]]);
        assert_eq!(best(1, &[], 2), [[id(2)], [id(4)]]);
        assert!(best(3, &[], 9).is_empty());
        assert!(best(0, &[], 9).is_empty());
    }

    #[test]
    fn blocks_do_not_overlap() {
        let row: Vec<FreeSeat> = [1, 2, 3, 4, 5].map(|n: u8| seat(n.into(), 0, n.into(), 1)).into();
        let blocks = best_blocks(&row, 2, &HashSet::new(), 9);
        assert_eq!(blocks, [[id(1), id(2)], [id(3), id(4)]]);
    }
}
