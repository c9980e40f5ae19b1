//! What an organizer sees: `Schedule.sales` is `Desk::sales`, `scheduleReservations` is `Desk::reservations`.

use std::collections::HashMap;

use async_graphql::{ComplexObject, Context, ID, Object, SimpleObject};

use super::{
    ApiError, ApiResult,
    account::User,
    budget, context,
    gather::Loader,
    list::{List, Text},
    loaders::{self, Reads},
    page::{self, Connection},
    part_id,
    reservation::{Reservation, ReservationStatus},
    scalars::PointsScalar,
};
use crate::{
    catalogue::{self, Search},
    desk::{self, ReservationFilter},
    kernel::{PersonId, RequestCode, ScheduleId},
    payment, reservation,
};

/// What was sold at a performance, as committed at one moment. Counts are of seats, money is in points.
#[derive(Debug, Clone, SimpleObject)]
#[graphql(complex)]
pub(super) struct ScheduleSales {
    #[graphql(skip)]
    schedule_id: ScheduleId,
    #[graphql(skip)]
    by_grade: Vec<desk::GradeSales>,
    /// Names the sales of this schedule, for caches; it never changes.
    id: ID,
    /// Seats of live holds.
    held: i32,
    /// Seats that are somebody's.
    sold: i32,
    /// Paid and not refunded; what is on its way back is counted until it is there.
    revenue: PointsScalar,
    /// Paid and given back.
    refunded: PointsScalar,
}

#[ComplexObject]
impl ScheduleSales {
    /// The same by grade, dearest first.
    async fn grades(&self, ctx: &Context<'_>) -> ApiResult<List<GradeSales>> {
        let of = |sales| GradeSales::of(self.schedule_id, sales);
        List::of(ctx, self.by_grade.iter().map(of))
    }

    /// How far the refunds of a CANCELLED schedule are; null otherwise.
    #[graphql(complexity = "budget::STATEMENT + child_complexity")]
    async fn refunds(&self, ctx: &Context<'_>) -> ApiResult<Option<RefundProgress>> {
        budget::spend(ctx, budget::STATEMENT)?;
        let progress = loaders::load(ctx, RefundsOf(self.schedule_id)).await?;
        Ok(progress.map(|progress| RefundProgress::of(self.schedule_id, progress)))
    }
}

/// How far refunds are, in reservations that were paid for.
#[derive(Debug, Clone, SimpleObject)]
pub(super) struct RefundProgress {
    /// Names the refunds of this schedule, for caches; it never changes.
    id: ID,
    /// All that were paid for.
    total: i32,
    /// Whose money is back.
    done: i32,
    /// Whose refund was given up, and needs a person.
    failed: i32,
}

impl RefundProgress {
    fn of(schedule_id: ScheduleId, progress: payment::RefundProgress) -> Self {
        let payment::RefundProgress { total, done, failed } = progress;
        Self { id: part_id(schedule_id, "refunds"), total, done, failed }
    }
}

/// How far the refunds of a schedule are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct RefundsOf(ScheduleId);

impl Loader<RefundsOf> for Reads {
    type Value = payment::RefundProgress;

    async fn load(
        &self,
        keys: &[RefundsOf],
    ) -> ApiResult<HashMap<RefundsOf, payment::RefundProgress>> {
        let ids: Vec<ScheduleId> = keys.iter().map(|key| key.0).collect();
        let progress = self.app.payments.refund_progress(&ids).await?;
        Ok(progress.into_iter().map(|(id, progress)| (RefundsOf(id), progress)).collect())
    }
}

/// What was sold of one grade.
#[derive(Debug, Clone, SimpleObject)]
pub(super) struct GradeSales {
    /// Names the sales of this grade at this schedule, for caches; it never changes.
    id: ID,
    /// Its name: VIP, R, S, ...
    grade: Text<String>,
    /// Seats that are somebody's.
    sold: i32,
    /// Paid and not refunded.
    revenue: PointsScalar,
}

impl GradeSales {
    fn of(schedule_id: ScheduleId, sales: &desk::GradeSales) -> Self {
        Self {
            id: part_id(schedule_id, format_args!("sales/{}", sales.grade)),
            grade: Text::new(sales.grade.clone()),
            sold: sales.sold,
            revenue: sales.revenue.into(),
        }
    }
}

/// What was sold at a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct SalesOf(ScheduleId);

impl Loader<SalesOf> for Reads {
    type Value = desk::ScheduleSales;

    async fn load(&self, keys: &[SalesOf]) -> ApiResult<HashMap<SalesOf, desk::ScheduleSales>> {
        let ids: Vec<ScheduleId> = keys.iter().map(|key| key.0).collect();
        let sales = self.app.desk.sales(&ids).await?;
        Ok(sales.into_iter().map(|(id, sales)| (SalesOf(id), sales)).collect())
    }
}

/// What was sold at a schedule; `None` for everybody but its organizer.
pub(super) async fn sales(
    ctx: &Context<'_>,
    schedule: &catalogue::Schedule,
) -> ApiResult<Option<ScheduleSales>> {
    let viewer = context::caller(ctx).map(|actor| actor.person_id);
    if viewer != Some(schedule.organizer_id) {
        return Ok(None);
    }
    budget::spend(ctx, budget::SALES)?;
    let sales = loaders::load(ctx, SalesOf(schedule.id)).await?.unwrap_or_default();
    Ok(Some(ScheduleSales {
        schedule_id: schedule.id,
        by_grade: sales.grades,
        id: part_id(schedule.id, "sales"),
        held: sales.held,
        sold: sales.sold,
        revenue: sales.revenue.into(),
        refunded: sales.refunded.into(),
    }))
}

/// Who made a reservation; for that person, and for the organizer of its schedule.
pub(super) async fn person_of(
    ctx: &Context<'_>,
    reservation: &reservation::Reservation,
) -> ApiResult<User> {
    let viewer = context::actor(ctx)?.person_id;
    if viewer != reservation.person_id
        && !is_organizer(ctx, viewer, reservation.schedule_id).await?
    {
        return Err(ApiError::new(
            RequestCode::NotFound,
            "Who holds a seat is shown to that person and to the organizer only.",
        ));
    }
    let person = loaders::load(ctx, reservation.person_id).await?;
    person.map(User::from).ok_or_else(|| {
        if viewer == reservation.person_id {
            ApiError::caller_gone()
        } else {
            ApiError::internal("a reservation without its person")
        }
    })
}

async fn is_organizer(
    ctx: &Context<'_>,
    viewer: PersonId,
    schedule_id: ScheduleId,
) -> ApiResult<bool> {
    let schedule = loaders::load(ctx, schedule_id).await?;
    Ok(schedule.is_some_and(|schedule| schedule.organizer_id == viewer))
}

/// What a page costs beside its statement and its items.
const fn search_price(searches: bool) -> usize {
    if searches { budget::SEARCH } else { 0 }
}

/// Looking at who comes.
#[derive(Debug, Default)]
pub(super) struct DeskQuery;

#[Object]
impl DeskQuery {
    /// Who holds and owns seats at a schedule of the caller, newest first; who did, too, unless `status` says otherwise. For
    /// organizers. At most three searches a request.
    #[graphql(
        complexity = "page::page_cost(first, child_complexity) + search_price(search.is_some())"
    )]
    async fn schedule_reservations(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "A performance of the caller.")] schedule_id: ID,
        #[graphql(desc = "0 to 100.", default = 20)] first: Option<i32>,
        #[graphql(desc = "The cursor of the last one already seen.")] after: Option<String>,
        #[graphql(desc = "Those of these states; null for all.")] status: Option<
            Vec<ReservationStatus>,
        >,
        #[graphql(
            desc = "A part of a name, of an e-mail address, or of the id of a reservation, a person or a payment (from four \
                    characters on), whatever its case; at most 100 characters."
        )]
        search: Option<String>,
    ) -> ApiResult<Connection<Reservation>> {
        let actor = context::organizer(ctx)?;
        let request = page::request(first, after.as_deref())?;
        let malformed = ApiError::new(
            RequestCode::BadRequest,
            "`search` has to be at most 100 characters on one line.",
        );
        let search =
            search.as_deref().map(|text| Search::new(text).ok_or(malformed)).transpose()?;
        budget::spend(ctx, budget::STATEMENT + search_price(search.is_some()))?;
        let schedule_id = match ScheduleId::parse(&schedule_id) {
            Some(id) if is_organizer(ctx, actor.person_id, id).await? => id,
            _ => {
                context::still_here(ctx, actor).await?;
                return Err(ApiError::new(RequestCode::NotFound, "You have no such schedule."));
            }
        };
        let statuses = status.map(|status| status.into_iter().map(Into::into).collect());
        let filter = ReservationFilter { statuses, search };
        let desk = &context::app(ctx)?.desk;
        let page = desk.reservations(schedule_id, &filter, request).await?;
        let cursor = |item: &reservation::Reservation| item.id;
        page::connection(ctx, page, after.is_some(), cursor, Reservation::from)
    }
}
