//! Why a hold was refused. Pure.

use std::collections::HashSet;

use super::{HoldCode, HoldRefusal, SeatStatus};
use crate::{kernel::SeatId, waiting_room::QueueStatus};

/// Seats that one person may ask for at once, even where the performance allows more.
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
}
