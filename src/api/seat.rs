//! Seats: `seats` is `SeatMaps::seats`, `seatChanges` is `SeatMaps::changes`; both need an ACTIVE queue token.

use std::sync::Arc;

use async_graphql::{Context, Enum, ID, Object, SimpleObject, Subscription};
use futures_util::{Stream, StreamExt, future, stream};

use super::{
    ApiError, ApiResult,
    budget::{self, VALUES_MAX},
    context,
    error::settle,
    hall::Hall,
    list::{List, Text},
    scalars::PointsScalar,
    waiting_room::pass_error,
};
use crate::{
    kernel::{Actor, RequestCode, ScheduleId},
    reservation,
    seat_map::{self, SeatFilter, SeatView},
    waiting_room::{Admission, PassRefusal},
};

/// Where a seat stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "seat_map::SeatStatus")]
pub(super) enum SeatStatus {
    /// Anybody admitted may hold it.
    Available,
    /// Somebody holds it; it may come back.
    Hold,
    /// Somebody owns it.
    SoldOut,
}

/// One seat at one performance.
#[derive(Debug, Clone, SimpleObject)]
pub(super) struct Seat {
    /// Names it; it never changes.
    id: ID,
    /// The part of the hall.
    section: Text<String>,
    /// The letters of its row; A is in front.
    row: String,
    /// In its row, from 1 at the left.
    number: i32,
    /// Its name: VIP, R, S, ...
    grade: Text<String>,
    /// What it costs.
    price: PointsScalar,
    /// Whether it can be held now.
    status: SeatStatus,
    /// Grows by one at every change of this seat; a client that sees two versions keeps the larger.
    version: i32,
}

impl Seat {
    /// A seat of a hall; `paid` says that the lengths of its texts are looked after.
    pub(super) fn of(seat: &SeatView, paid: bool) -> Self {
        let text = |text: &String| {
            if paid { Text::paid(text.clone()) } else { Text::new(text.clone()) }
        };
        Self {
            id: seat.place.id.0.into(),
            section: text(&seat.place.section),
            row: seat.place.row.clone(),
            number: seat.place.number,
            grade: text(&seat.place.grade),
            price: seat.place.price.into(),
            status: seat.status.into(),
            version: seat.version,
        }
    }
}

impl From<reservation::Seat> for Seat {
    fn from(seat: reservation::Seat) -> Self {
        Self {
            id: seat.id.0.into(),
            section: Text::new(seat.section),
            row: seat.row,
            number: seat.number,
            grade: Text::new(seat.grade),
            price: seat.price.into(),
            status: seat.status.into(),
            version: seat.version,
        }
    }
}

/// Lets only those in whose turn it is.
async fn admitted(
    ctx: &Context<'_>,
    actor: Actor,
    schedule_id: &ID,
    queue_token: &str,
) -> ApiResult<(ScheduleId, Admission)> {
    let rooms = &context::app(ctx)?.waiting_rooms;
    let admitted = match ScheduleId::parse(schedule_id) {
        Some(id) => settle(rooms.admitted(actor, id, queue_token).await)?.map(|it| (id, it)),
        None => Err(PassRefusal::Invalid),
    };
    if admitted == Err(PassRefusal::Invalid) {
        context::still_here(ctx, actor).await?;
    }
    admitted.map_err(pass_error)
}

/// Looking at a hall.
#[derive(Debug, Default)]
pub(super) struct SeatQuery;

#[Object]
impl SeatQuery {
    /// The seat map. Needs the caller's ACTIVE queue token for this schedule. One list of seats a request may be as large as
    /// the hall, up to 8 MiB; any further one counts with each of its seats towards what a request may ask for.
    #[graphql(complexity = "budget::HALL + child_complexity")]
    async fn seats(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The performance.")] schedule_id: ID,
        #[graphql(desc = "The `token` of the caller's ACTIVE queue token.")] queue_token: String,
        #[graphql(desc = "Only those of this section; null for all.")] section: Option<String>,
        #[graphql(desc = "Only those of this grade; null for all.")] grade: Option<String>,
        #[graphql(desc = "Only those of these states; null for all.")] status: Option<
            Vec<SeatStatus>,
        >,
    ) -> ApiResult<Hall> {
        budget::spend(ctx, budget::HALL)?;
        let (actor, app) = (context::actor(ctx)?, context::app(ctx)?);
        let (id, _) = admitted(ctx, actor, &schedule_id, &queue_token).await?;
        let status = status.map(|status| status.into_iter().map(Into::into).collect());
        let filter = SeatFilter { section, grade, status }.composed();
        Hall::look(ctx, &app.seat_maps, id, &filter).await
    }
}

/// How many seats one result of a subscription may hold that asks for so much of each: half of what it may ask for, the
/// rest is for long names.
fn seats_at_once(seat: usize) -> usize {
    (VALUES_MAX / 2 / seat.max(1)).max(1)
}

/// Watching a hall.
#[derive(Debug, Default)]
pub(super) struct SeatSubscription;

#[Subscription]
impl SeatSubscription {
    /// Seats of a schedule that changed, in batches of 500 at most. Needs an ACTIVE queue token, and completes when that ends.
    async fn seat_changes(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The performance.")] schedule_id: ID,
        #[graphql(desc = "The `token` of the caller's ACTIVE queue token.")] queue_token: String,
    ) -> Result<impl Stream<Item = List<Seat>> + use<>, ApiError> {
        let (actor, app) = (context::actor(ctx)?, context::app(ctx)?);
        let (id, admission) = admitted(ctx, actor, &schedule_id, &queue_token).await?;
        // The place that was checked: the person may have left it by now, and entered again.
        let places = app.waiting_rooms.watch_token(id, admission).await?.ok_or(ApiError::new(
            RequestCode::QueueTokenInvalid,
            "You have no place in the line for this performance; enter it first.",
        ))?;
        // The turn is over when the last place was told; the seats are not shown any longer than that.
        let over = stream::once(async move {
            places.for_each(|_| future::ready(())).await;
        });
        let changes = app.seat_maps.changes(id).await?;
        let budget = Arc::clone(budget::of(ctx)?);
        let batch = seats_at_once(budget::weight(ctx, &ctx.item.node.selection_set.node));
        Ok(changes
            .flat_map(move |changed| {
                let seats = |seats: &[SeatView]| {
                    List::paid(seats.iter().map(|it| Seat::of(it, false)).collect())
                };
                stream::iter(changed.chunks(batch).map(seats).collect::<Vec<_>>())
            })
            .inspect(move |_| budget.renew())
            .take_until(Box::pin(over).into_future()))
    }
}
