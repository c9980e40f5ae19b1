//! Holding seats: in a lane, with whoever else asks at the moment; and words for why not.

use std::collections::HashSet;

use super::{
    HoldCode, Reservation, Reservations, SeatStatus,
    lane::{self, Outcome},
    rules,
    store::{self, HoldOrder, Locks},
};
use crate::{
    kernel::{Actor, Failure, Fault, ReservationId, ScheduleId, SeatId},
    telemetry::OutcomeLabels,
    waiting_room::Admission,
};

/// Why seats cannot be held, and which of them were the cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HoldRefusal {
    /// The reason.
    pub code: HoldCode,
    /// The seats that were the cause; empty where no seat was.
    pub seat_ids: Vec<SeatId>,
}

/// A hold that is left out of its group is in another one at most; then it is made by itself. It was left out because something
/// of the person's was locked or had just changed, or because somebody was taking one of the seats.
const TRIES: usize = 2;
/// A statement that found nothing in its way and yet held nothing met a passing lock, or another hold, payment or
/// cancellation of the same person; it is run again so many times. A person in a hurry has one for each of their seats.
const ATTEMPTS: usize = rules::SEATS_MAX + 5;
/// Blocks of neighbours that are tried while others take them away.
const BLOCKS: usize = 50;
/// The first try is for the best block. Everybody who loses it would meet again at the next best, so the next tries are
/// for one of the best 2, 4, 8 and so on, up to this power of two.
const CHOICES_LOG: usize = 6;
/// The hall is read anew after so many tries.
const READ_EVERY: usize = 4;

impl Reservations {
    /// Holds seats for the caller, all of them or none.
    ///
    /// `seat_ids` are 1 to 20; doubles count once.
    ///
    /// # Errors
    /// A [`HoldRefusal`], or a fault; in both cases nothing is held.
    pub async fn hold(
        &self,
        actor: Actor,
        schedule_id: ScheduleId,
        seat_ids: &[SeatId],
        queue_token: &str,
    ) -> Result<Reservation, Failure<HoldRefusal>> {
        let result = match self.check(actor, schedule_id, queue_token) {
            Ok(admission) => self.hold_as(actor, admission, schedule_id, seat_ids).await,
            Err(refusal) => Err(Failure::Refused(refusal)),
        };
        self.count(&result);
        result
    }

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

    fn check(
        &self,
        actor: Actor,
        schedule_id: ScheduleId,
        queue_token: &str,
    ) -> Result<Admission, HoldRefusal> {
        let invalid = |_| HoldRefusal { code: HoldCode::QueueTokenInvalid, seat_ids: Vec::new() };
        self.waiting_rooms.check(actor, schedule_id, queue_token).map_err(invalid)
    }

    async fn hold_as(
        &self,
        actor: Actor,
        admission: Admission,
        schedule_id: ScheduleId,
        seat_ids: &[SeatId],
    ) -> Result<Reservation, Failure<HoldRefusal>> {
        let mut seat_ids = seat_ids.to_vec();
        seat_ids.sort_unstable();
        seat_ids.dedup();
        if seat_ids.len() > rules::SEATS_MAX {
            let refusal = HoldRefusal { code: HoldCode::SeatLimitReached, seat_ids: Vec::new() };
            return self.touch(admission, schedule_id, Err(Failure::Refused(refusal))).await;
        }
        let order = store::HoldOrder {
            queue_token_id: admission.queue_token_id,
            schedule_id,
            person_id: actor.person_id,
            seat_ids,
            reservation_id: ReservationId::new(),
        };
        for _ in 0..TRIES {
            match self.lanes.ask(order.clone()).await? {
                Outcome::Held(held) => return Ok(held.reservation),
                Outcome::Refused(refusal) => return Err(Failure::Refused(refusal)),
                Outcome::Failed(fault) => return Err(Failure::Fault(fault)),
                Outcome::Again => {}
            }
        }
        let result = self.hold_alone(order).await;
        self.touch(admission, schedule_id, result).await
    }

    /// Holds by itself, waiting for whoever has locked what is the person's.
    async fn hold_alone(&self, order: HoldOrder) -> Result<Reservation, Failure<HoldRefusal>> {
        let orders = [&order];
        for _ in 0..ATTEMPTS {
            let outcomes = lane::attempt(&self.db, &orders, self.hold_seconds, Locks::Awaited);
            match outcomes.await?.pop() {
                Some(Outcome::Held(held)) => {
                    lane::tell(&self.kv, &self.waiting_rooms, [&*held]).await;
                    return Ok(held.reservation);
                }
                Some(Outcome::Refused(refusal)) => return Err(Failure::Refused(refusal)),
                Some(Outcome::Failed(fault)) => return Err(Failure::Fault(fault)),
                Some(Outcome::Again) | None => {}
            }
        }
        // Free by every rule, and locked each time that we looked: somebody else is taking it this instant.
        Err(Failure::Refused(HoldRefusal { code: HoldCode::SeatHeld, seat_ids: order.seat_ids }))
    }

    async fn hold_best_as(
        &self,
        actor: Actor,
        admission: Admission,
        schedule_id: ScheduleId,
        grade: &str,
        count: usize,
    ) -> Result<Reservation, Failure<HoldRefusal>> {
        // Who may not hold at all is told so, before the hall is read for them.
        if let Some(refusal) = self.why_not(actor, admission, schedule_id, count).await? {
            return Err(Failure::Refused(refusal));
        }
        let mut free = Vec::new();
        let mut lost = HashSet::new();
        for attempt in 0..BLOCKS {
            let among = 1 << attempt.min(CHOICES_LOG);
            let mut blocks = rules::best_blocks(&free, count, &lost, among);
            if attempt % READ_EVERY == 0 || blocks.is_empty() {
                // Postgres has no text with a NUL, so no grade is called that.
                if !grade.contains('\0') {
                    free = store::free_seats(&self.db, schedule_id, grade).await?;
                }
                lost.clear();
                blocks = rules::best_blocks(&free, count, &lost, among);
            }
            if blocks.is_empty() {
                break;
            }
            let block = blocks.swap_remove(dice() % blocks.len());
            match self.hold_as(actor, admission, schedule_id, &block).await {
                Err(Failure::Refused(refusal))
                    if matches!(refusal.code, HoldCode::SeatHeld | HoldCode::SeatSold) =>
                {
                    lost.extend(refusal.seat_ids);
                }
                result => return result,
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
    ) -> Result<Option<HoldRefusal>, Fault> {
        let order = store::HoldOrder {
            queue_token_id: admission.queue_token_id,
            schedule_id,
            person_id: actor.person_id,
            seat_ids: Vec::new(),
            reservation_id: ReservationId::new(),
        };
        let mut facts = store::hold_facts(&self.db, &[&order]).await?.pop().unwrap_or_default();
        // Stand-ins for the seats that would be asked for, so that the limit is judged as it will be.
        let imagined: Vec<SeatId> = (0..count).map(|_| SeatId::new()).collect();
        facts.seats = imagined.iter().map(|id| (*id, SeatStatus::Available)).collect();
        Ok(rules::why_refused(&facts, &imagined))
    }

    /// Who was refused because of the seats was busy: their idle time starts anew, as it does with a hold.
    async fn touch(
        &self,
        admission: Admission,
        schedule_id: ScheduleId,
        result: Result<Reservation, Failure<HoldRefusal>>,
    ) -> Result<Reservation, Failure<HoldRefusal>> {
        if let Err(Failure::Refused(refusal)) = &result
            && rules::was_busy(refusal.code)
        {
            self.waiting_rooms.acted(schedule_id, admission).await?;
        }
        result
    }

    fn count(&self, result: &Result<Reservation, Failure<HoldRefusal>>) {
        let outcome = match result {
            Ok(_) => "ok",
            Err(Failure::Refused(_)) => "refused",
            Err(Failure::Fault(_)) => "fault",
        };
        self.metrics.holds.get_or_create(&OutcomeLabels { outcome }).inc();
    }
}

/// Some number: the random bits of a new id.
fn dice() -> usize {
    let (_, low) = ReservationId::new().0.as_u64_pair();
    usize::try_from(low & 0xffff_ffff).unwrap_or_default()
}
