//! Reservations: `holdSeat` and `holdSeats` are `Reservations::hold`, `holdBestSeats` is `Reservations::hold_best`, and
//! `reservationChanges` is `Reservations::changes`.

use std::sync::Arc;

use async_graphql::{
    ComplexObject, Context, Enum, ID, InputObject, Object, SimpleObject, Subscription,
};
use futures_util::{Stream, StreamExt};

use super::{
    ApiError, ApiResult,
    account::User,
    budget, context, desk,
    error::settle,
    list::List,
    loaders::{self, LatestPaymentOf, SeatsOf},
    page::{self, Connection},
    payment::Payment,
    scalars::{DateTime, PointsScalar},
    schedule::Schedule,
    seat::Seat,
    user_error::payload,
};
use crate::{
    kernel::{Actor, Failure, RequestCode, ReservationId, ScheduleId, SeatId},
    reservation::{self, HoldCode, HoldRefusal},
};

/// Where a reservation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "reservation::ReservationStatus")]
pub(super) enum ReservationStatus {
    /// The seats are kept until expiresAt.
    Hold,
    /// Paid.
    Confirmed,
    /// Given back, with a refund if it was paid.
    Cancelled,
    /// Not paid in time.
    Expired,
}

/// Seats that one person holds or owns, or did.
#[derive(Debug, Clone, SimpleObject)]
#[graphql(complex)]
pub(super) struct Reservation {
    /// Names it; it never changes.
    id: ID,
    #[graphql(skip)]
    inner: reservation::Reservation,
    /// HOLD until it is paid, given back or lapsed.
    status: ReservationStatus,
    /// Of all its seats, as they cost when they were held.
    total_price: PointsScalar,
    /// When the seats were held.
    held_at: DateTime,
    /// When a HOLD lapses.
    expires_at: DateTime,
    /// Seconds left of a HOLD, rounded down; 0 otherwise.
    remaining_seconds: i32,
    /// How far extendHold can move expiresAt at most.
    extendable_until: DateTime,
    /// When it was paid; null before.
    confirmed_at: Option<DateTime>,
    /// When it was given back or refunded; null before.
    cancelled_at: Option<DateTime>,
}

impl From<reservation::Reservation> for Reservation {
    fn from(inner: reservation::Reservation) -> Self {
        Self {
            id: inner.id.0.into(),
            status: inner.status.into(),
            total_price: inner.total_price.into(),
            held_at: inner.held_at.into(),
            expires_at: inner.expires_at.into(),
            remaining_seconds: inner.remaining_seconds(),
            extendable_until: inner.extendable_until.into(),
            confirmed_at: inner.confirmed_at.map(DateTime::from),
            cancelled_at: inner.cancelled_at.map(DateTime::from),
            inner,
        }
    }
}

#[ComplexObject]
impl Reservation {
    /// The performance.
    async fn schedule(&self, ctx: &Context<'_>) -> ApiResult<Schedule> {
        let schedule = loaders::load(ctx, self.inner.schedule_id).await?;
        schedule
            .map(Schedule::from)
            .ok_or_else(|| ApiError::internal("a reservation without its schedule"))
    }

    /// The seats, at the price that was agreed; their status is today's, whoever has them.
    async fn seats(&self, ctx: &Context<'_>) -> ApiResult<List<Seat>> {
        let seats = loaders::load(ctx, SeatsOf(self.inner.id)).await?.unwrap_or_default();
        List::of(ctx, seats.into_iter().map(Seat::from))
    }

    /// Who holds or owns it; for its owner and for the schedule's organizer.
    async fn person(&self, ctx: &Context<'_>) -> ApiResult<User> {
        desk::person_of(ctx, &self.inner).await
    }

    /// The latest payment, if there was one.
    async fn payment(&self, ctx: &Context<'_>) -> ApiResult<Option<Payment>> {
        Ok(loaders::load(ctx, LatestPaymentOf(self.inner.id)).await?.map(Payment::from))
    }
}

/// A seat to be held.
#[derive(Debug, InputObject)]
pub(super) struct HoldSeatInput {
    /// Where.
    schedule_id: ID,
    /// One that `seats` shows AVAILABLE.
    seat_id: ID,
    /// The `token` of the caller's ACTIVE queue token.
    queue_token: String,
}

/// Seats to be held together.
#[derive(Debug, InputObject)]
pub(super) struct HoldSeatsInput {
    /// Where.
    schedule_id: ID,
    /// 1 to 20.
    seat_ids: Vec<ID>,
    /// The `token` of the caller's ACTIVE queue token.
    queue_token: String,
}

/// Seats to be picked and held.
#[derive(Debug, InputObject)]
pub(super) struct HoldBestSeatsInput {
    /// Where.
    schedule_id: ID,
    /// As in `Schedule.grades`.
    grade: String,
    /// 1 to 20.
    count: i32,
    /// The `token` of the caller's ACTIVE queue token.
    queue_token: String,
}

/// The reservation, or why nothing is held.
#[derive(Debug, SimpleObject)]
pub(super) struct HoldPayload {
    /// As it is now; null when nothing was done.
    reservation: Option<Reservation>,
    /// Why nothing was done; empty when it was.
    user_errors: Vec<HoldError>,
}

impl HoldPayload {
    fn of(
        outcome: Result<reservation::Reservation, HoldRefusal>,
        path: &[&str],
        asked: &AskedSeats<'_>,
    ) -> Self {
        let refused = |refusal| hold_error(refusal, path, asked);
        let (reservation, user_errors) = payload(outcome.map(Reservation::from).map_err(refused));
        Self { reservation, user_errors }
    }
}

/// Why seats were not held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub(super) enum HoldErrorCode {
    /// Not a token of this server, of this person or for this schedule.
    QueueTokenInvalid,
    /// Still WAITING.
    QueueNotActive,
    /// The token was USED, or EXPIRED.
    QueueEnded,
    /// There is no such seat at this schedule.
    SeatNotFound,
    /// Somebody holds it; it may come back.
    SeatHeld,
    /// Somebody owns it.
    SeatSold,
    /// No `count` adjacent free seats of that grade.
    NoAdjacentSeats,
    /// More seats than one person may hold and own at this schedule.
    SeatLimitReached,
    /// Not on sale any more.
    SaleClosed,
}

/// Why seats were not held.
#[derive(Debug, Clone, SimpleObject)]
pub(super) struct HoldError {
    /// What a program decides by.
    pub(super) code: HoldErrorCode,
    /// What a person reads, in English.
    pub(super) message: String,
    /// The input field at fault, from the mutation's argument down.
    pub(super) path: Option<Vec<String>>,
    /// The seats that were the cause.
    pub(super) seat_ids: Vec<ID>,
}

/// `seats` names the input field that chooses seats, in this mutation; `asked` are what it names.
fn hold_error(refusal: HoldRefusal, seats: &[&str], asked: &AskedSeats<'_>) -> HoldError {
    use HoldErrorCode as Code;
    const QUEUE_TOKEN: &[&str] = &["input", "queueToken"];
    const SCHEDULE: &[&str] = &["input", "scheduleId"];
    let (code, message, path) = match refusal.code {
        HoldCode::QueueTokenInvalid => (
            Code::QueueTokenInvalid,
            "This is no place of yours in the line for this performance; enter the line first.",
            QUEUE_TOKEN,
        ),
        HoldCode::QueueNotActive => (
            Code::QueueNotActive,
            "It is not your turn yet; your place in line is kept.",
            QUEUE_TOKEN,
        ),
        HoldCode::QueueEnded => {
            (Code::QueueEnded, "Your turn is over; enter the line again.", QUEUE_TOKEN)
        }
        HoldCode::SeatNotFound => {
            (Code::SeatNotFound, "There is no such seat at this performance.", seats)
        }
        HoldCode::SeatHeld => (
            Code::SeatHeld,
            "This seat is held; it may come back. What you hold yourself is among your reservations.",
            seats,
        ),
        HoldCode::SeatSold => (Code::SeatSold, "This seat is sold.", seats),
        HoldCode::NoAdjacentSeats => (
            Code::NoAdjacentSeats,
            "There are not so many free seats side by side; ask for fewer.",
            seats,
        ),
        HoldCode::SeatLimitReached => {
            (Code::SeatLimitReached, "That is more than one person may hold and own here.", seats)
        }
        HoldCode::SaleClosed => (Code::SaleClosed, "This performance is not on sale.", SCHEDULE),
    };
    HoldError {
        code,
        message: message.to_owned(),
        path: Some(path.iter().map(|&step| step.to_owned()).collect()),
        seat_ids: refusal.seat_ids.into_iter().map(|id| asked.as_given(id)).collect(),
    }
}

/// The seats that a client asked for, each with the id as they wrote it. One that is no id names no seat: it stands as
/// one that does not exist, so that the answer tells so.
#[derive(Debug, Default)]
struct AskedSeats<'a>(Vec<(SeatId, &'a ID)>);

impl<'a> AskedSeats<'a> {
    fn new(ids: &'a [ID]) -> Self {
        let mut asked = Self::default();
        for given in ids {
            let same = asked.0.iter().find(|(_, other)| *other == given).map(|(id, _)| *id);
            let id = same.or_else(|| SeatId::parse(given)).unwrap_or_else(SeatId::new);
            asked.0.push((id, given));
        }
        asked
    }

    fn ids(&self) -> Vec<SeatId> {
        self.0.iter().map(|(id, _)| *id).collect()
    }

    fn as_given(&self, id: SeatId) -> ID {
        let given = self.0.iter().find(|(asked, _)| *asked == id);
        given.map_or_else(|| id.0.into(), |(_, given)| (*given).clone())
    }
}

/// Looking at one's reservations.
#[derive(Debug, Default)]
pub(super) struct ReservationQuery;

#[Object]
impl ReservationQuery {
    /// One of the caller's reservations; null when it is not theirs.
    #[graphql(complexity = "budget::STATEMENT + child_complexity")]
    async fn reservation(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "One of the caller.")] id: ID,
    ) -> ApiResult<Option<Reservation>> {
        let actor = context::actor(ctx)?;
        budget::spend(ctx, budget::STATEMENT)?;
        let found = match ReservationId::parse(&id) {
            Some(id) => context::app(ctx)?.reservations.find(actor, id).await?,
            None => None,
        };
        if found.is_none() {
            context::still_here(ctx, actor).await?;
        }
        Ok(found.map(Reservation::from))
    }

    /// The caller's reservations, newest first; of these states, or all.
    #[graphql(complexity = "page::page_cost(first, child_complexity)")]
    async fn reservations(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "0 to 100.", default = 20)] first: Option<i32>,
        #[graphql(desc = "The cursor of the last one already seen.")] after: Option<String>,
        #[graphql(desc = "Those of these states; null for all.")] status: Option<
            Vec<ReservationStatus>,
        >,
    ) -> ApiResult<Connection<Reservation>> {
        let actor = context::actor(ctx)?;
        let request = page::request(first, after.as_deref())?;
        budget::spend(ctx, budget::STATEMENT)?;
        let status: Option<Vec<_>> =
            status.map(|status| status.into_iter().map(Into::into).collect());
        let page = context::app(ctx)?.reservations.list(actor, status.as_deref(), request).await?;
        if page.items.is_empty() {
            context::still_here(ctx, actor).await?;
        }
        let cursor = |item: &reservation::Reservation| item.id;
        page::connection(ctx, page, after.is_some(), cursor, Reservation::from)
    }
}

/// Holding and giving back.
#[derive(Debug, Default)]
pub(super) struct ReservationMutation;

#[Object]
impl ReservationMutation {
    /// Holds one seat for the caller (5 minutes by default).
    async fn hold_seat(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which seat.")] input: HoldSeatInput,
    ) -> ApiResult<HoldPayload> {
        let seats = [input.seat_id];
        hold(ctx, &input.schedule_id, &seats, &input.queue_token, &["input", "seatId"]).await
    }

    /// Holds several seats in one reservation: all of them or none.
    async fn hold_seats(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which seats.")] input: HoldSeatsInput,
    ) -> ApiResult<HoldPayload> {
        hold(ctx, &input.schedule_id, &input.seat_ids, &input.queue_token, &["input", "seatIds"])
            .await
    }

    /// Picks and holds the best `count` adjacent free seats of a grade: in front and in the middle, and so that no single seat is
    /// left alone where there is another choice.
    async fn hold_best_seats(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many seats of which grade.")] input: HoldBestSeatsInput,
    ) -> ApiResult<HoldPayload> {
        let actor = context::actor(ctx)?;
        let reservations = &context::app(ctx)?.reservations;
        let count = usize::try_from(input.count).ok().filter(|count| (1..=20).contains(count));
        let count =
            count.ok_or(ApiError::new(RequestCode::BadRequest, "`count` has to be 1 to 20."))?;
        let held = match ScheduleId::parse(&input.schedule_id) {
            Some(id) => {
                reservations.hold_best(actor, id, &input.grade, count, &input.queue_token).await
            }
            None => Err(Failure::Refused(not_admitted())),
        };
        let held = of_somebody(ctx, actor, settle(held)?).await?;
        Ok(HoldPayload::of(held, &["input", "count"], &AskedSeats::default()))
    }
}

async fn hold(
    ctx: &Context<'_>,
    schedule_id: &ID,
    seats: &[ID],
    queue_token: &str,
    path: &[&str],
) -> ApiResult<HoldPayload> {
    let actor = context::actor(ctx)?;
    let reservations = &context::app(ctx)?.reservations;
    if !(1..=20).contains(&seats.len()) {
        return Err(ApiError::new(RequestCode::BadRequest, "`seatIds` has to name 1 to 20 seats."));
    }
    let asked = AskedSeats::new(seats);
    let held = match ScheduleId::parse(schedule_id) {
        Some(id) => reservations.hold(actor, id, &asked.ids(), queue_token).await,
        None => Err(Failure::Refused(not_admitted())),
    };
    let held = of_somebody(ctx, actor, settle(held)?).await?;
    Ok(HoldPayload::of(held, path, &asked))
}

/// No token is one for a schedule that cannot exist.
const fn not_admitted() -> HoldRefusal {
    HoldRefusal { code: HoldCode::QueueTokenInvalid, seat_ids: Vec::new() }
}

/// Whose token is none may be nobody any more.
async fn of_somebody(
    ctx: &Context<'_>,
    actor: Actor,
    held: Result<reservation::Reservation, HoldRefusal>,
) -> ApiResult<Result<reservation::Reservation, HoldRefusal>> {
    if matches!(&held, Err(refusal) if refusal.code == HoldCode::QueueTokenInvalid) {
        context::still_here(ctx, actor).await?;
    }
    Ok(held)
}

/// Watching one's reservations.
#[derive(Debug, Default)]
pub(super) struct ReservationSubscription;

#[Subscription]
impl ReservationSubscription {
    /// The caller's reservations as they are held, confirmed, cancelled or expired.
    async fn reservation_changes(
        &self,
        ctx: &Context<'_>,
    ) -> Result<impl Stream<Item = Reservation> + use<>, ApiError> {
        let actor = context::actor(ctx)?;
        let budget = Arc::clone(budget::of(ctx)?);
        context::still_here(ctx, actor).await?;
        let changes = context::app(ctx)?.reservations.changes(actor).await;
        Ok(changes.inspect(move |_| budget.renew()).map(Reservation::from))
    }
}
