//! Seats: `seats` is `SeatMaps::seats`, `seatChanges` is `SeatMaps::changes`; both need an ACTIVE queue token.

use async_graphql::{Context, Enum, ID, Object, SimpleObject, Subscription};
use futures_util::{Stream, StreamExt, future, stream};

use super::{
    ApiError, ApiResult, context, error::settle, page, scalars::PointsScalar,
    waiting_room::pass_error,
};
use crate::{
    kernel::{Actor, RequestCode, ScheduleId},
    reservation,
    seat_map::{SeatFilter, SeatView},
    waiting_room::PassRefusal,
};

/// How many seats a hall is taken to have, for what a list of them costs.
const USUAL_SEATS: usize = 50;

/// Where a seat stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "reservation::SeatStatus")]
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
    id: ID,
    section: String,
    row: String,
    number: i32,
    grade: String,
    price: PointsScalar,
    status: SeatStatus,
    /// Grows by one at every change of this seat; a client that sees two versions keeps the larger.
    version: i32,
}

impl From<&SeatView> for Seat {
    fn from(seat: &SeatView) -> Self {
        Self {
            id: seat.place.id.0.into(),
            section: seat.place.section.clone(),
            row: seat.place.row.clone(),
            number: seat.place.number,
            grade: seat.place.grade.clone(),
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
            section: seat.section,
            row: seat.row,
            number: seat.number,
            grade: seat.grade,
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
) -> ApiResult<ScheduleId> {
    let rooms = &context::app(ctx)?.waiting_rooms;
    let admitted = match ScheduleId::parse(schedule_id) {
        Some(id) => settle(rooms.admitted(actor, id, queue_token).await)?.map(|_| id),
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
    /// The seat map. Needs the caller's ACTIVE queue token for this schedule.
    #[graphql(complexity = "page::list_cost(USUAL_SEATS, child_complexity)")]
    async fn seats(
        &self,
        ctx: &Context<'_>,
        schedule_id: ID,
        queue_token: String,
        section: Option<String>,
        grade: Option<String>,
        status: Option<Vec<SeatStatus>>,
    ) -> ApiResult<Vec<Seat>> {
        let (actor, app) = (context::actor(ctx)?, context::app(ctx)?);
        let id = admitted(ctx, actor, &schedule_id, &queue_token).await?;
        let status = status.map(|status| status.into_iter().map(Into::into).collect());
        let seats = app.seat_maps.seats(id, &SeatFilter { section, grade, status }).await?;
        Ok(seats.iter().map(Seat::from).collect())
    }
}

/// Watching a hall.
#[derive(Debug, Default)]
pub(super) struct SeatSubscription;

#[Subscription]
impl SeatSubscription {
    /// Seats of a schedule that changed, in batches. Needs an ACTIVE queue token, and completes when that ends.
    async fn seat_changes(
        &self,
        ctx: &Context<'_>,
        schedule_id: ID,
        queue_token: String,
    ) -> Result<impl Stream<Item = Vec<Seat>> + use<>, ApiError> {
        let (actor, app) = (context::actor(ctx)?, context::app(ctx)?);
        let id = admitted(ctx, actor, &schedule_id, &queue_token).await?;
        let places = app.waiting_rooms.watch(actor, id).await?.ok_or(ApiError::new(
            RequestCode::QueueTokenInvalid,
            "You have no place for this performance; enter its queue.",
        ))?;
        // The turn is over when the last place was told; the seats are not shown any longer than that.
        let over = stream::once(async move {
            places.for_each(|_| future::ready(())).await;
        });
        let changes = app.seat_maps.changes(id).await?;
        Ok(changes
            .map(|batch| batch.iter().map(Seat::from).collect())
            .take_until(Box::pin(over).into_future()))
    }
}
