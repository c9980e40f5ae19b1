//! Why a hold was refused, or not extended. Pure.

use std::collections::HashSet;

use chrono::TimeDelta;

use super::{ExtendRefusal, HoldCode, HoldRefusal, Reservation, ReservationStatus, SeatStatus};
use crate::{kernel::SeatId, waiting_room::QueueStatus};

/// Seats that one person may ask for at once, even where the performance allows more.
pub const SEATS_MAX: usize = 20;
/// A statement about a person's reservation that found nothing in its way and yet changed nothing met a passing lock, or a
/// change just made of this or another of theirs; it is run again this many times. A person in a hurry has one for each of
/// their seats.
pub const ATTEMPTS: usize = SEATS_MAX + 5;

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
    /// Seconds for which the person holds nothing new, because they let holds lapse; 0 when they may.
    pub rests_for: u32,
    /// The seats asked for, those that exist.
    pub seats: Vec<(SeatId, SeatStatus)>,
}

/// What stands in the way of a hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Obstacle {
    /// The rules say no.
    Refused(HoldRefusal),
    /// The person let holds lapse, and holds nothing new for so many seconds.
    Rest(u32),
}

/// Why these seats cannot be held; `None` when nothing stands in the way any more, and trying again is right.
pub(super) fn why_refused(facts: &HoldFacts, asked: &[SeatId]) -> Option<Obstacle> {
    let because = |code, seat_ids| Some(Obstacle::Refused(HoldRefusal { code, seat_ids }));
    let refuse = |code| because(code, Vec::new());
    match facts.token {
        None => return refuse(HoldCode::QueueTokenInvalid),
        Some(QueueStatus::Waiting) => return refuse(HoldCode::QueueNotActive),
        Some(QueueStatus::Used | QueueStatus::Expired) => return refuse(HoldCode::QueueEnded),
        Some(QueueStatus::Active) => {}
    }
    if !facts.on_sale {
        return refuse(HoldCode::SaleClosed);
    }
    if facts.rests_for > 0 {
        return Some(Obstacle::Rest(facts.rests_for));
    }
    let known: HashSet<SeatId> = facts.seats.iter().map(|(id, _)| *id).collect();
    let unknown: Vec<SeatId> = asked.iter().copied().filter(|id| !known.contains(id)).collect();
    if !unknown.is_empty() {
        return because(HoldCode::SeatNotFound, unknown);
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
            return because(code, cause);
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

/// What a hold that was not extended found.
#[derive(Debug, Clone)]
pub(super) struct ExtendFacts {
    /// By the database's clock.
    pub reservation: Reservation,
    pub payment_pending: bool,
    /// Every seat still names this reservation.
    pub seats_kept: bool,
}

/// What becomes of a hold that the statement did not extend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Extension {
    /// It lasts as long as was asked for already, or for as long as its payment takes.
    Stands(Box<Reservation>),
    /// The rules say no.
    Refused(ExtendRefusal),
    /// Nothing stands in the way any more, and trying again is right.
    Again,
}

/// Why a hold was not extended, by what was found afterwards.
pub(super) fn extension(facts: Option<ExtendFacts>, hold_seconds: u32) -> Extension {
    let Some(ExtendFacts { reservation, payment_pending, seats_kept }) = facts else {
        return Extension::Refused(ExtendRefusal::NotFound);
    };
    if reservation.status != ReservationStatus::Hold {
        return Extension::Refused(ExtendRefusal::HoldExpired);
    }
    if payment_pending {
        return Extension::Stands(Box::new(reservation));
    }
    if !seats_kept {
        return Extension::Refused(ExtendRefusal::HoldExpired);
    }
    if reservation.extendable_until <= reservation.expires_at {
        return Extension::Refused(ExtendRefusal::Limit);
    }
    let full_time = reservation.now + TimeDelta::seconds(i64::from(hold_seconds));
    if full_time <= reservation.expires_at {
        return Extension::Stands(Box::new(reservation));
    }
    Extension::Again
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use crate::kernel::{PersonId, Points, QueueTokenId, ReservationId, ScheduleId};

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
            rests_for: 0,
            seats: vec![(id(1), SeatStatus::Available), (id(2), SeatStatus::Available)],
        }
    }

    fn refusal(facts: &HoldFacts, asked: &[SeatId]) -> Option<HoldRefusal> {
        match why_refused(facts, asked)? {
            Obstacle::Refused(refusal) => Some(refusal),
            Obstacle::Rest(seconds) => panic!("a rest of {seconds} s"),
        }
    }

    fn code(facts: &HoldFacts) -> Option<HoldCode> {
        refusal(facts, &[id(1), id(2)]).map(|refusal| refusal.code)
    }

    #[test]
    fn who_let_holds_lapse_rests_whatever_the_seats_are() {
        let seats = vec![(id(1), SeatStatus::SoldOut)];
        let resting = HoldFacts { rests_for: 60, seats, ..facts() };
        assert_eq!(why_refused(&resting, &[id(1)]), Some(Obstacle::Rest(60)));
        // Waiting would not help.
        assert_eq!(
            code(&HoldFacts { on_sale: false, ..resting.clone() }),
            Some(HoldCode::SaleClosed)
        );
        let ended = HoldFacts { token: Some(QueueStatus::Expired), ..resting };
        assert_eq!(code(&ended), Some(HoldCode::QueueEnded));
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
        let told = refusal(&facts, &[id(1), id(2)]).unwrap();
        assert_eq!((told.code, told.seat_ids), (HoldCode::SeatSold, vec![id(2)]));
        let told = refusal(&facts, &[id(1), id(2), id(3)]).unwrap();
        assert_eq!((told.code, told.seat_ids), (HoldCode::SeatNotFound, vec![id(3)]));
    }

    #[test]
    fn seats_held_and_owned_count_against_the_limit() {
        assert_eq!(code(&HoldFacts { taken: 1, ..facts() }), Some(HoldCode::SeatLimitReached));
        assert_eq!(code(&HoldFacts { taken: 1, limit: 3, ..facts() }), None);
    }

    /// A hold of 300 seconds, so many seconds after it was made, extended so far.
    fn held(after: i64, expires: i64) -> ExtendFacts {
        let at = |seconds| chrono::DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds);
        let reservation = Reservation {
            id: ReservationId(Uuid::from_u128(1)),
            person_id: PersonId(Uuid::from_u128(2)),
            schedule_id: ScheduleId(Uuid::from_u128(3)),
            queue_token_id: QueueTokenId(Uuid::from_u128(4)),
            status: ReservationStatus::Hold,
            seat_count: 1,
            total_price: Points::ZERO,
            held_at: at(0),
            expires_at: at(expires),
            extendable_until: at(600),
            confirmed_at: None,
            cancelled_at: None,
            now: at(after),
        };
        ExtendFacts { reservation, payment_pending: false, seats_kept: true }
    }

    #[test]
    fn a_hold_with_something_to_gain_is_tried_again() {
        assert_eq!(extension(Some(held(10, 300)), 300), Extension::Again);
        assert_eq!(extension(Some(held(310, 599)), 300), Extension::Again);
    }

    #[test]
    fn every_reason_not_to_extend_has_its_own_word() {
        let refused = |facts| match extension(facts, 300) {
            Extension::Refused(refusal) => refusal,
            other => panic!("{other:?}"),
        };
        assert_eq!(refused(None), ExtendRefusal::NotFound);
        assert_eq!(refused(Some(held(10, 600))), ExtendRefusal::Limit);
        let others = [
            ReservationStatus::Expired,
            ReservationStatus::Confirmed,
            ReservationStatus::Cancelled,
        ];
        for status in others {
            let mut facts = held(10, 300);
            facts.reservation.status = status;
            // A payment that is being decided does not bring it back.
            facts.payment_pending = true;
            assert_eq!(refused(Some(facts)), ExtendRefusal::HoldExpired);
        }
        let lost = ExtendFacts { seats_kept: false, ..held(10, 300) };
        assert_eq!(refused(Some(lost)), ExtendRefusal::HoldExpired);
    }

    #[test]
    fn what_lasts_long_enough_stands() {
        // Shorter holds were set since it was made.
        let stands = |facts| matches!(extension(Some(facts), 60), Extension::Stands(_));
        assert!(stands(held(10, 300)));
        assert!(stands(ExtendFacts { payment_pending: true, ..held(10, 700) }));
        assert!(stands(ExtendFacts { payment_pending: true, seats_kept: false, ..held(10, 300) }));
        assert!(!stands(held(250, 300)));
    }
}
