//! Holding the best seats side by side: chosen from the hall in memory, and held by the statement that holds all others.

use std::collections::HashSet;

use super::{
    HoldCode, HoldRefusal, Reservation, Reservations, SeatStatus,
    rules::{self, Obstacle},
    store,
};
use crate::{
    kernel::{Actor, Failure, Fault, ReservationId, ScheduleId, SeatId, TooOften, composed},
    seat_map::{Offer, Wish},
    waiting_room::Admission,
};

/// Blocks of neighbours that are tried while others take them away.
const BLOCKS: usize = 50;
/// The first try is for the best block. Those who lose it to people at other instances would meet again at the next best, so
/// the next tries are for one of the best 2, 4, 8 and so on, up to this power of two.
const CHOICES_LOG: usize = 6;

impl Reservations {
    /// Holds the best `count` adjacent free seats of a grade.
    ///
    /// # Errors
    /// A [`HoldRefusal`], or a fault; in both cases nothing is held.
    pub async fn hold_best(
        &self,
        actor: Actor,
        schedule_id: ScheduleId,
        grade: &str,
        count: usize,
        queue_token: &str,
    ) -> Result<Reservation, Failure<HoldRefusal>> {
        let result = match self.check(actor, schedule_id, queue_token) {
            Ok(admission) => {
                let result = self.hold_best_as(actor, admission, schedule_id, grade, count).await;
                self.touch(admission, schedule_id, result).await
            }
            Err(refusal) => Err(Failure::Refused(refusal)),
        };
        self.count(&result);
        result
    }

    async fn hold_best_as(
        &self,
        actor: Actor,
        admission: Admission,
        schedule_id: ScheduleId,
        grade: &str,
        count: usize,
    ) -> Result<Reservation, Failure<HoldRefusal>> {
        // A person who may not hold at all is told so first, and keeps no seats from others by trying.
        match self.why_not(actor, admission, schedule_id, count).await? {
            None => {}
            Some(Obstacle::Refused(refusal)) => return Err(Failure::Refused(refusal)),
            Some(Obstacle::Rest(seconds)) => {
                return Err(Fault::too_often(TooOften::LapsedHolds, seconds).into());
            }
        }
        let (mut lost, mut confirmed) = (HashSet::new(), false);
        for attempt in 0..BLOCKS {
            let wish = Wish {
                grade: composed(grade).into_owned(),
                count,
                among: 1 << attempt.min(CHOICES_LOG),
                dice: dice(),
                without: lost.clone(),
            };
            let choice = match self.seat_maps.choose(schedule_id, wish).await? {
                Offer::Seats(choice) => choice,
                // The board may not have heard of seats that came back: Postgres is asked before anybody is refused.
                Offer::Taken if !confirmed => {
                    self.seat_maps.confirm(schedule_id).await?;
                    confirmed = true;
                    lost.clear();
                    continue;
                }
                Offer::Taken | Offer::Never => break,
            };
            match self.hold_as(actor, admission, schedule_id, choice.seats()).await {
                Err(Failure::Refused(refusal))
                    if matches!(refusal.code, HoldCode::SeatHeld | HoldCode::SeatSold) =>
                {
                    choice.taken(&refusal.seat_ids);
                    lost.extend(refusal.seat_ids);
                    confirmed = false;
                }
                Ok(reservation) => {
                    choice.taken(choice.seats());
                    return Ok(reservation);
                }
                refused => return refused,
            }
        }
        Err(Failure::Refused(HoldRefusal { code: HoldCode::NoAdjacentSeats, seat_ids: Vec::new() }))
    }

    async fn why_not(
        &self,
        actor: Actor,
        admission: Admission,
        schedule_id: ScheduleId,
        count: usize,
    ) -> Result<Option<Obstacle>, Fault> {
        let order = store::HoldOrder {
            queue_token_id: admission.queue_token_id,
            schedule_id,
            person_id: actor.person_id,
            seat_ids: Vec::new(),
            reservation_id: ReservationId::new(),
        };
        let mut facts =
            store::hold_facts(&self.db, &[&order], self.terms).await?.pop().unwrap_or_default();
        // Stand-ins for the seats that would be asked for, so that the limit is judged as it will be.
        let imagined: Vec<SeatId> = (0..count).map(|_| SeatId::new()).collect();
        facts.seats = imagined.iter().map(|id| (*id, SeatStatus::Available)).collect();
        Ok(rules::why_refused(&facts, &imagined))
    }
}

/// Some number: the random bits of a new id.
fn dice() -> usize {
    let (_, low) = ReservationId::new().0.as_u64_pair();
    usize::try_from(low & 0xffff_ffff).unwrap_or_default()
}
