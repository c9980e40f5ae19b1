//! Holding seats: one guarded statement, and words for why not.

use super::{HoldCode, Reservation, Reservations, rules, store};
use crate::{
    kernel::{Actor, Failure, ReservationId, ScheduleId, SeatId},
    telemetry::OutcomeLabels,
    waiting_room::{Admission, Event},
};

/// Why seats cannot be held, and which of them were the cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HoldRefusal {
    /// The reason.
    pub code: HoldCode,
    /// The seats that were the cause; empty where no seat was.
    pub seat_ids: Vec<SeatId>,
}

/// A statement that found nothing in its way and yet held nothing met a passing lock, or another hold, payment or
/// cancellation of the same person; it is run again so many times. A person in a hurry has one for each of their seats.
const ATTEMPTS: usize = rules::SEATS_MAX + 5;
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
            Ok(admission) => {
                let result = self.hold_as(actor, admission, schedule_id, seat_ids).await;
                self.touch(admission, schedule_id, result).await
            }
            Err(refusal) => Err(Failure::Refused(refusal)),
        };
        self.count(&result);
        result
    }

    pub(super) fn check(
        &self,
        actor: Actor,
        schedule_id: ScheduleId,
        queue_token: &str,
    ) -> Result<Admission, HoldRefusal> {
        let invalid = |_| HoldRefusal { code: HoldCode::QueueTokenInvalid, seat_ids: Vec::new() };
        self.waiting_rooms.check(actor, schedule_id, queue_token).map_err(invalid)
    }

    pub(super) async fn hold_as(
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
            return Err(Failure::Refused(HoldRefusal {
                code: HoldCode::SeatLimitReached,
                seat_ids: Vec::new(),
            }));
        }
        let order = store::HoldOrder {
            queue_token_id: admission.queue_token_id,
            schedule_id,
            person_id: actor.person_id,
            seat_ids: &seat_ids,
            reservation_id: ReservationId::new(),
            hold_seconds: self.hold_seconds,
        };
        for _ in 0..ATTEMPTS {
            if let Some(held) = store::hold(&self.db, &order).await? {
                let event = Event { changes: vec![held.token], ..Event::default() };
                tokio::join!(
                    self.announce(schedule_id, actor.person_id, held.reservation.id, &held.seats),
                    self.waiting_rooms.announce(schedule_id, event),
                );
                return Ok(held.reservation);
            }
            let facts = store::hold_facts(&self.db, &order).await?;
            if let Some(refusal) = rules::why_refused(&facts, &seat_ids) {
                return Err(Failure::Refused(refusal));
            }
        }
        // Free by every rule, and locked each time that we looked: somebody else is taking it this instant.
        Err(Failure::Refused(HoldRefusal { code: HoldCode::SeatHeld, seat_ids }))
    }

    /// Who was refused because of the seats was busy: their idle time starts anew, as it does with a hold.
    pub(super) async fn touch(
        &self,
        admission: Admission,
        schedule_id: ScheduleId,
        result: Result<Reservation, Failure<HoldRefusal>>,
    ) -> Result<Reservation, Failure<HoldRefusal>> {
        if let Err(Failure::Refused(refusal)) = &result
            && matches!(
                refusal.code,
                HoldCode::SeatHeld
                    | HoldCode::SeatSold
                    | HoldCode::NoAdjacentSeats
                    | HoldCode::SeatLimitReached
            )
        {
            self.waiting_rooms.acted(schedule_id, admission).await?;
        }
        result
    }

    pub(super) fn count(&self, result: &Result<Reservation, Failure<HoldRefusal>>) {
        let outcome = match result {
            Ok(_) => "ok",
            Err(Failure::Refused(_)) => "refused",
            Err(Failure::Fault(_)) => "fault",
        };
        self.metrics.holds.get_or_create(&OutcomeLabels { outcome }).inc();
    }
}
