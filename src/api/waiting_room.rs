//! The waiting room: `enterQueue` is `WaitingRooms::enter`, `leaveQueue` is `WaitingRooms::leave`, the `queueStatus` query is
//! `WaitingRooms::status` and the subscription of that name `WaitingRooms::watch`.

use std::sync::Arc;

use async_graphql::{Context, Enum, ID, Object, SimpleObject, Subscription};
use futures_util::{Stream, StreamExt, stream};

use super::{
    ApiError, ApiResult, Handover, budget, context,
    error::settle,
    live::{Leaf, QueueUpdates},
    part_id,
    scalars::DateTime,
    user_error::{QueueError, payload},
};
use crate::{
    kernel::{RequestCode, ScheduleId},
    waiting_room::{self, PassRefusal, Place, QueueRefusal, Summary, hexadecimal},
};

/// Where a person stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "waiting_room::QueueStatus")]
pub(super) enum QueueStatus {
    /// In line.
    Waiting,
    /// In: may look at seats, hold and pay.
    Active,
    /// Done: the person owns as many seats as one person may at this performance (`maxSeatsPerPerson`). The payment that makes them
    /// do so ends their place in line, WAITING or ACTIVE, with whichever of their queue tokens the seats were held. A payment for
    /// fewer leaves it as it is. It stays USED when a reservation is refunded afterwards; then the person may enter again, at the
    /// end of the line.
    Used,
    /// Over for another reason: `endedBecause` says which.
    Expired,
}

/// Why a place has EXPIRED.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "waiting_room::QueueEnd")]
pub(super) enum QueueEnd {
    /// Given up: `leaveQueue`.
    Left,
    /// The person was ACTIVE, and did nothing for as long as the waiting room allows (`idleSeconds`).
    Idle,
    /// The person was ACTIVE for as long as the waiting room allows in all (`activeSeconds`).
    TimeOver,
    /// The person was away when it was their turn, and for five minutes after it.
    Away,
    /// The sale was closed, or salesCloseAt has passed.
    SaleClosed,
    /// The same, and every seat was sold by then.
    SoldOut,
    /// The performance does not take place.
    ScheduleCancelled,
    /// The person had just paid for as many seats as one person may when this place was given: there was nothing to wait for.
    SeatLimitReached,
}

/// What a waiting room does at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "waiting_room::RoomStatus")]
pub(super) enum WaitingRoomStatus {
    /// Not on sale, or not any more.
    Closed,
    /// People may enter; nobody is admitted before salesOpenAt.
    Prequeue,
    /// People are admitted.
    Open,
    /// The organizer stopped admission for now.
    Paused,
    /// Nothing left; nobody is admitted.
    SoldOut,
}

/// One person's place for one schedule. At most one live (WAITING or ACTIVE) per person and schedule.
#[derive(Debug, Clone)]
pub(super) struct QueueToken(pub(super) Place);

/// One person's place for one schedule. At most one live (WAITING or ACTIVE) per person and schedule.
#[Object]
impl QueueToken {
    /// Names the place, for caches; it never changes, and opens nothing.
    async fn id(&self) -> ID {
        self.0.token.id.0.into()
    }

    /// Opaque to clients: a signed token that names the person, the schedule and the place.
    async fn token(&self, ctx: &Context<'_>) -> ApiResult<String> {
        Ok(context::app(ctx)?.waiting_rooms.sign(&self.0.token)?)
    }

    /// The performance that it is for.
    async fn schedule_id(&self) -> ID {
        self.0.token.schedule_id.0.into()
    }

    /// Where the person stands.
    async fn status(&self) -> QueueStatus {
        self.0.token.status.into()
    }

    /// Why it has EXPIRED. Null unless it has, and for places that ended before this was noted.
    async fn ended_because(&self) -> Option<QueueEnd> {
        self.0.token.ended_because.map(QueueEnd::from)
    }

    /// What the waiting room does, so that watching the place tells when it is PAUSED or SOLD_OUT; null when unknown.
    async fn room_status(&self) -> Option<WaitingRoomStatus> {
        self.0.room.map(WaitingRoomStatus::from)
    }

    /// Whether no seat is free while some are only held: what is held may come back, and nobody is admitted before. Null when
    /// unknown.
    async fn everything_held(&self) -> Option<bool> {
        self.0.everything_held
    }

    /// 1 for the next in line; null unless WAITING, and null before the draw of a pre-queue.
    async fn position(&self) -> Option<i32> {
        self.0.shown_position()
    }

    /// Everybody WAITING, the caller included.
    async fn waiting_count(&self) -> i32 {
        self.0.shown_waiting()
    }

    /// From how fast the line moved within the last minute; null when unknown, and while the room is not OPEN.
    async fn estimated_wait_seconds(&self) -> Option<i32> {
        self.0.wait_seconds
    }

    /// When the place was taken.
    async fn entered_at(&self) -> DateTime {
        self.0.token.entered_at.into()
    }

    /// When the person was admitted; null before.
    async fn activated_at(&self) -> Option<DateTime> {
        self.0.token.activated_at.map(DateTime::from)
    }

    /// End of the ACTIVE time; it moves with each action and each hold, up to the room's limit.
    async fn expires_at(&self) -> Option<DateTime> {
        self.0.token.expires_at.map(DateTime::from)
    }

    /// The same as seconds from now; 0 unless ACTIVE.
    async fn remaining_seconds(&self) -> i32 {
        self.0.remaining_seconds()
    }

    /// For clients that poll: ask again no sooner.
    async fn poll_after_seconds(&self) -> i32 {
        self.0.poll_after_seconds()
    }
}

/// The waiting room of one schedule, at most one second old.
#[derive(Debug, Clone, SimpleObject)]
pub(super) struct WaitingRoom {
    /// Names it, for caches; it never changes.
    id: ID,
    /// What it does at the moment.
    status: WaitingRoomStatus,
    /// Whether no seat is free while some are only held: what is held may come back, and nobody is admitted before. False unless
    /// OPEN or PAUSED.
    everything_held: bool,
    /// How many people are WAITING.
    waiting_count: i32,
    /// How many people are ACTIVE.
    active_count: i32,
    /// How many people may be ACTIVE at once.
    max_active: i32,
    /// How many people are admitted within any `roundSeconds` at most.
    admit_per_round: i32,
    /// How long a round is.
    round_seconds: f64,
    /// What somebody who entered now would wait; null when unknown.
    estimated_wait_seconds: Option<i32>,
    /// SHA-256 of the secret of the draw, in hexadecimal; never changes. Who enters before salesOpenAt is drawn.
    draw_commitment: String,
    /// The secret itself, in hexadecimal, once the draw is over: every place follows from it. Null before.
    draw_secret: Option<String>,
}

impl WaitingRoom {
    /// The waiting room of a schedule.
    pub(super) fn of(schedule_id: ScheduleId, summary: &Summary) -> Self {
        let count = |value: i64| i32::try_from(value).unwrap_or(i32::MAX);
        Self {
            id: part_id(schedule_id, "room"),
            status: summary.status.into(),
            everything_held: summary.everything_held,
            waiting_count: count(summary.waiting),
            active_count: count(summary.active),
            max_active: summary.max_active,
            admit_per_round: summary.admit_per_round,
            round_seconds: f64::from(summary.round_ms) / 1_000.0,
            estimated_wait_seconds: summary.wait_seconds(summary.waiting.saturating_add(1)),
            draw_commitment: hexadecimal(&summary.draw.commitment),
            draw_secret: summary.draw.secret.as_ref().map(|secret| hexadecimal(secret)),
        }
    }
}

/// The place, or why there is none.
#[derive(Debug, SimpleObject)]
pub(super) struct QueuePayload {
    /// The place as it is now; null when there is none.
    queue_token: Option<QueueToken>,
    /// Why nothing was done; empty when it was.
    user_errors: Vec<QueueError>,
}

impl From<Result<Place, QueueRefusal>> for QueuePayload {
    fn from(outcome: Result<Place, QueueRefusal>) -> Self {
        let (queue_token, user_errors) = payload(outcome.map(QueueToken).map_err(refusal));
        Self { queue_token, user_errors }
    }
}

/// Why a place in line was not taken or not given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub(super) enum QueueErrorCode {
    /// There is no such schedule.
    ScheduleNotFound,
    /// Not on sale yet; nobody can enter.
    SaleNotOpen,
    /// Not on sale any more.
    SaleClosed,
    /// Every seat is sold. A ticket that comes back goes to those who wait.
    SoldOut,
    /// The caller has no place to give up.
    NotInQueue,
    /// The caller owns as many seats as one person may: there is nothing to wait for.
    SeatLimitReached,
}

fn refusal(refusal: QueueRefusal) -> QueueError {
    use QueueErrorCode as Code;
    let (code, message) = match refusal {
        QueueRefusal::ScheduleNotFound => (Code::ScheduleNotFound, "There is no such performance."),
        QueueRefusal::SaleNotOpen => (Code::SaleNotOpen, "The sale has not been opened yet."),
        QueueRefusal::SaleClosed => (Code::SaleClosed, "The sale is over."),
        QueueRefusal::SoldOut => {
            (Code::SoldOut, "Every seat is sold. Look again later: a ticket may come back.")
        }
        QueueRefusal::SeatLimitReached => {
            (Code::SeatLimitReached, "You own as many seats here as one person may.")
        }
        QueueRefusal::NotInQueue => (Code::NotInQueue, "You have no place in this line."),
    };
    QueueError::new(code, message).at(&["scheduleId"])
}

/// The error of a queue token that opens nothing, for reads and subscriptions.
pub(super) const fn pass_error(refusal: PassRefusal) -> ApiError {
    match refusal {
        PassRefusal::Invalid => ApiError::new(
            RequestCode::QueueTokenInvalid,
            "This is no place of yours in the line for this performance; enter the line first.",
        ),
        PassRefusal::NotActive => ApiError::new(
            RequestCode::QueueNotActive,
            "It is not your turn yet; your place in line is kept.",
        ),
        PassRefusal::Ended => {
            ApiError::new(RequestCode::QueueEnded, "Your turn is over; enter the line again.")
        }
    }
}

fn schedule_not_found() -> ApiError {
    ApiError::new(
        RequestCode::NotFound,
        "You have no place in the line for this performance; enter it first.",
    )
}

/// Looking at one's place.
#[derive(Debug, Default)]
pub(super) struct WaitingRoomQuery;

#[Object]
impl WaitingRoomQuery {
    /// The caller's queue token for a schedule: the live one, else the latest; null if there never was one.
    #[graphql(complexity = "budget::STATEMENT + child_complexity")]
    async fn queue_status(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The performance.")] schedule_id: ID,
    ) -> ApiResult<Option<QueueToken>> {
        let actor = context::actor(ctx)?;
        budget::spend(ctx, budget::STATEMENT)?;
        let found = match ScheduleId::parse(&schedule_id) {
            Some(id) => context::app(ctx)?.waiting_rooms.status(actor, id).await?,
            None => None,
        };
        if found.is_none() {
            context::still_here(ctx, actor).await?;
        }
        Ok(found.map(QueueToken))
    }
}

/// Entering and leaving.
#[derive(Debug, Default)]
pub(super) struct WaitingRoomMutation;

#[Object]
impl WaitingRoomMutation {
    /// Takes a place. Called again while the token lives, it returns the same one.
    async fn enter_queue(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The performance.")] schedule_id: ID,
    ) -> ApiResult<QueuePayload> {
        let actor = context::actor(ctx)?;
        let outcome = match ScheduleId::parse(&schedule_id) {
            Some(id) => settle(context::app(ctx)?.waiting_rooms.enter(actor, id).await)?,
            None => {
                context::still_here(ctx, actor).await?;
                Err(QueueRefusal::ScheduleNotFound)
            }
        };
        Ok(outcome.into())
    }

    /// Gives the place up. Safe to repeat.
    async fn leave_queue(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The performance.")] schedule_id: ID,
    ) -> ApiResult<QueuePayload> {
        let actor = context::actor(ctx)?;
        let outcome = match ScheduleId::parse(&schedule_id) {
            Some(id) => settle(context::app(ctx)?.waiting_rooms.leave(actor, id).await)?,
            None => Err(QueueRefusal::ScheduleNotFound),
        };
        if outcome.is_err() {
            context::still_here(ctx, actor).await?;
        }
        Ok(outcome.into())
    }
}

/// Watching one's place.
#[derive(Debug, Default)]
pub(super) struct WaitingRoomSubscription;

#[Subscription]
impl WaitingRoomSubscription {
    /// The caller's queue token: at once on subscribing, then at every change worth showing; completes after USED or
    /// EXPIRED.
    async fn queue_status(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The performance.")] schedule_id: ID,
    ) -> Result<impl Stream<Item = QueueToken> + use<>, ApiError> {
        let actor = context::actor(ctx)?;
        let rooms = &context::app(ctx)?.waiting_rooms;
        let watch = match ScheduleId::parse(&schedule_id) {
            Some(id) => rooms.watch(actor, id).await?,
            None => None,
        };
        if watch.is_none() {
            context::still_here(ctx, actor).await?;
        }
        let mut watch = watch.ok_or_else(schedule_not_found)?;
        let handover = ctx.data_opt::<Arc<Handover>>();
        let Some((handover, plan)) = handover.and_then(|it| Some((it, it.plan()?))) else {
            return Ok(watch.map(QueueToken).left_stream());
        };
        let first = watch.look();
        let signed = if plan.has(Leaf::Token) { rooms.sign(&first.token)? } else { String::new() };
        let plan = plan.clone();
        handover.leave(Box::new(QueueUpdates { watch, plan, signed: signed.into() }));
        Ok(stream::iter([QueueToken(first)]).right_stream())
    }
}
