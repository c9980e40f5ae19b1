//! Holding seats: in a lane, together with other people's holds. And the words for why not.

use super::{
    HoldCode, Reservation, Reservations,
    lane::{self, Outcome},
    rules::{self, ATTEMPTS},
    store::{self, HoldOrder, Locks},
};
use crate::{
    kernel::{Actor, Failure, FaultKind, ReservationId, ScheduleId, SeatId},
    telemetry::{LimitLabels, OutcomeLabels},
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

/// Groups that a hold is in at most; then it is made by itself. A group leaves out a hold when something of the person's is
/// locked or has just changed, or when somebody is taking one of the seats.
const TRIES: usize = 2;

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

    /// Holds by itself, and waits until nobody else has a lock on what is the person's.
    async fn hold_alone(&self, order: HoldOrder) -> Result<Reservation, Failure<HoldRefusal>> {
        let orders = [&order];
        for _ in 0..ATTEMPTS {
            let outcomes = lane::attempt(&self.db, &orders, self.terms, Locks::Awaited);
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

    /// A person who was refused because of the seats was busy: their idle time starts anew, as it does with a hold.
    pub(super) async fn touch(
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

    pub(super) fn count(&self, result: &Result<Reservation, Failure<HoldRefusal>>) {
        let outcome = match result {
            Ok(_) => "ok",
            Err(Failure::Fault(fault)) if matches!(fault.kind(), FaultKind::TooOften { .. }) => {
                self.metrics
                    .rate_limited
                    .get_or_create(&LimitLabels { limit: "lapsed_holds" })
                    .inc();
                "refused"
            }
            Err(Failure::Refused(_)) => "refused",
            Err(Failure::Fault(_)) => "fault",
        };
        self.metrics.holds.get_or_create(&OutcomeLabels { outcome }).inc();
    }
}
