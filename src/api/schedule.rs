//! Schedules: one performance each, with seats by grade. Reads are `Catalogue::schedules_of` and `Catalogue::availability`;
//! `createSchedule`, `openSale`, `closeSale` and `cancelSchedule` are `Sales::create`, `open`, `close` and `call_off`, and
//! `configureWaitingRoom` is `WaitingRooms::configure`.

use std::sync::Arc;

use async_graphql::{ComplexObject, Context, Enum, ID, InputObject, Object, SimpleObject};

use super::{
    ApiError, ApiResult, budget,
    concert::Concert,
    context,
    desk::{self, ScheduleSales},
    error::settle,
    list::{List, Text},
    loaders::{self, AvailabilityOf, RoomOf, SchedulesOf},
    part_id,
    scalars::{DateTime, PointsScalar},
    user_error::{OrganizerError, payload_of_form},
    waiting_room::WaitingRoom,
};
use crate::{
    app::App,
    catalogue::{self, Availability, CatalogueRefusal, NewSchedule, NewSection, ScheduleFilter},
    kernel::{ConcertId, Failure, Fault, PersonId, ScheduleId},
    sale::NewSale,
    waiting_room::WaitingRoomPatch,
};

/// How far the sale of a performance is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "catalogue::ScheduleStatus")]
pub(super) enum ScheduleStatus {
    /// In preparation; seen by its organizer only.
    Draft,
    /// Sold from salesOpenAt until salesCloseAt.
    OnSale,
    /// Not sold any more.
    Closed,
    /// The performance does not take place; everybody is refunded.
    Cancelled,
}

/// One performance of a concert, with its own seats and its own waiting room.
#[derive(Debug, Clone, SimpleObject)]
#[graphql(complex)]
pub(super) struct Schedule {
    /// Names it; it never changes.
    id: ID,
    #[graphql(skip)]
    pub(super) inner: catalogue::Schedule,
    /// When the performance begins.
    starts_at: DateTime,
    /// CLOSED from salesCloseAt on.
    status: ScheduleStatus,
    /// From then on people are admitted; who enters the waiting room before is drawn.
    sales_open_at: DateTime,
    /// From then on the sale is CLOSED.
    sales_close_at: DateTime,
    /// Seats of the hall, whoever has them.
    seat_count: i32,
    /// How many seats one person may hold and own at this performance.
    max_seats_per_person: i32,
    /// Until then a fan may cancel a CONFIRMED reservation; startsAt unless the organizer chose an earlier time.
    cancel_until: DateTime,
}

impl From<catalogue::Schedule> for Schedule {
    fn from(inner: catalogue::Schedule) -> Self {
        Self {
            id: inner.id.0.into(),
            starts_at: inner.starts_at.into(),
            status: inner.status.into(),
            sales_open_at: inner.sales_open_at.into(),
            sales_close_at: inner.sales_close_at.into(),
            seat_count: inner.seat_count,
            max_seats_per_person: inner.max_seats_per_person,
            cancel_until: inner.cancel_until.into(),
            inner,
        }
    }
}

#[ComplexObject]
impl Schedule {
    /// What is performed.
    async fn concert(&self, ctx: &Context<'_>) -> ApiResult<Concert> {
        let concert = loaders::load(ctx, self.inner.concert_id).await?;
        concert.map(Concert).ok_or_else(|| ApiError::internal("a schedule without its concert"))
    }

    /// Seats that nobody holds or owns, at most one second old.
    async fn remaining_seats(&self, ctx: &Context<'_>) -> ApiResult<i32> {
        Ok(availability(ctx, self.inner.id).await?.remaining())
    }

    /// Where people stand in line for it.
    #[graphql(complexity = "budget::ROOM + child_complexity")]
    async fn waiting_room(&self, ctx: &Context<'_>) -> ApiResult<WaitingRoom> {
        budget::spend(ctx, budget::ROOM)?;
        let summary = loaders::load(ctx, RoomOf(self.inner.id)).await?;
        summary
            .map(|summary| WaitingRoom::of(self.inner.id, &summary))
            .ok_or_else(|| ApiError::internal("a schedule without its waiting room"))
    }

    /// What was sold; for its organizer, null for everybody else.
    #[graphql(complexity = "budget::SALES + child_complexity")]
    async fn sales(&self, ctx: &Context<'_>) -> ApiResult<Option<ScheduleSales>> {
        desk::sales(ctx, &self.inner).await
    }

    /// The same by grade, dearest first.
    async fn grades(&self, ctx: &Context<'_>) -> ApiResult<List<GradeAvailability>> {
        let grades = &availability(ctx, self.inner.id).await?.grades;
        List::of(ctx, grades.iter().map(|grade| GradeAvailability::of(self.inner.id, grade)))
    }
}

async fn availability(ctx: &Context<'_>, id: ScheduleId) -> ApiResult<Arc<Availability>> {
    Ok(loaders::load(ctx, AvailabilityOf(id)).await?.unwrap_or_default())
}

/// Seats of one grade (VIP, R, S, ...) at one performance.
#[derive(Debug, Clone, SimpleObject)]
pub(super) struct GradeAvailability {
    /// Names the grade at this schedule, for caches; it never changes.
    id: ID,
    /// Its name: VIP, R, S, ...
    grade: Text<String>,
    /// Of one seat.
    price: PointsScalar,
    /// Seats of this grade, whoever has them.
    total: i32,
    /// Seats that nobody holds or owns.
    remaining: i32,
}

impl GradeAvailability {
    fn of(schedule_id: ScheduleId, grade: &catalogue::Grade) -> Self {
        Self {
            id: part_id(schedule_id, format_args!("grade/{}", grade.grade)),
            grade: Text::new(grade.grade.clone()),
            price: grade.price.into(),
            total: grade.total,
            remaining: grade.remaining,
        }
    }
}

/// Which schedules a client asks for; no `status` means all that it may see.
pub(super) fn filter(
    ctx: &Context<'_>,
    from: Option<DateTime>,
    to: Option<DateTime>,
    status: Option<Vec<ScheduleStatus>>,
    available_only: bool,
) -> Arc<ScheduleFilter> {
    let status = match status {
        Some(status) => status.into_iter().map(Into::into).collect(),
        None => catalogue::ScheduleStatus::ALL.to_vec(),
    };
    Arc::new(ScheduleFilter {
        from: from.map(|from| from.0),
        to: to.map(|to| to.0),
        status,
        available_only,
        viewer: context::caller(ctx).map(|actor| actor.person_id),
    })
}

/// The schedules of a concert, read along with those of the other concerts in the answer.
pub(super) async fn schedules_of(
    ctx: &Context<'_>,
    concert_id: ConcertId,
    filter: Arc<ScheduleFilter>,
) -> ApiResult<List<Schedule>> {
    budget::spend(ctx, budget::SCHEDULES)?;
    let found = loaders::load(ctx, SchedulesOf { concert_id, filter }).await?;
    let found = found.as_deref().unwrap_or_default();
    List::of(ctx, found.iter().map(|schedule| Schedule::from(schedule.clone())))
}

/// A performance to be sold.
#[derive(Debug, InputObject)]
pub(super) struct CreateScheduleInput {
    /// What is performed; a concert of the caller.
    concert_id: ID,
    /// Not before salesCloseAt. As the other two, in the years 2000 to 2199.
    starts_at: DateTime,
    /// Before salesCloseAt. People may enter the waiting room earlier, as soon as openSale was called.
    sales_open_at: DateTime,
    /// Not after startsAt. From then on the sale is CLOSED.
    sales_close_at: DateTime,
    /// 1 to 20.
    #[graphql(default = 1)]
    max_seats_per_person: i32,
    /// Until then fans may cancel what they have paid for; not after startsAt, which it is when left out.
    cancel_until: Option<DateTime>,
    /// 1 to 50 sections, with 100000 seats in all at most. A grade has the same price in every section.
    sections: Vec<SectionInput>,
    /// By default 100 people ACTIVE at most, 50 admitted a round, a round every second.
    waiting_room: Option<WaitingRoomInput>,
}

/// Rows are named A, B, ... Z, AA, ...; seats in a row are numbered from 1; front rows and the middle are the best
/// seats.
#[derive(Debug, InputObject)]
pub(super) struct SectionInput {
    /// 1 to 50 characters; unique within the schedule.
    name: String,
    /// 1 to 20 characters.
    grade: String,
    /// 0 to 10000000000.
    price: PointsScalar,
    /// 1 to 200.
    rows: i32,
    /// 1 to 500.
    seats_per_row: i32,
}

/// How a waiting room is run. What is left out stays as it is.
#[derive(Debug, InputObject)]
pub(super) struct WaitingRoomInput {
    /// How many people may be ACTIVE at once; 1 to 1000000.
    max_active: Option<i32>,
    /// How many people one round admits at most; 1 to 100000.
    admit_per_round: Option<i32>,
    /// How often a round runs; 0.1 to 600.
    round_seconds: Option<f64>,
    /// ACTIVE time without an action, 120 by default; 5 to 86400.
    idle_seconds: Option<i32>,
    /// ACTIVE time in all, 900 by default; 5 to 86400.
    active_seconds: Option<i32>,
    /// Nobody is admitted while it is paused.
    paused: Option<bool>,
}

impl From<WaitingRoomInput> for WaitingRoomPatch {
    fn from(input: WaitingRoomInput) -> Self {
        Self {
            max_active: input.max_active,
            admit_per_round: input.admit_per_round,
            round_seconds: input.round_seconds,
            idle_seconds: input.idle_seconds,
            active_seconds: input.active_seconds,
            paused: input.paused,
        }
    }
}

impl From<SectionInput> for NewSection {
    fn from(input: SectionInput) -> Self {
        let SectionInput { name, grade, price, rows, seats_per_row } = input;
        Self { name, grade, price: price.0, rows, seats_per_row }
    }
}

impl CreateScheduleInput {
    fn parse(self) -> NewSale {
        let schedule = NewSchedule {
            // A text that is no id names no concert, as an id does that nobody has.
            concert_id: ConcertId::parse(&self.concert_id).unwrap_or_else(ConcertId::new),
            starts_at: self.starts_at.0,
            sales_open_at: self.sales_open_at.0,
            sales_close_at: self.sales_close_at.0,
            max_seats_per_person: self.max_seats_per_person,
            cancel_until: self.cancel_until.map(|until| until.0),
            sections: self.sections.into_iter().map(NewSection::from).collect(),
        };
        let waiting_room = self.waiting_room.map_or_else(WaitingRoomPatch::default, Into::into);
        NewSale { schedule, waiting_room }
    }
}

/// The schedule, or why nothing was changed.
#[derive(Debug, SimpleObject)]
pub(super) struct SchedulePayload {
    /// As it is now; null when nothing was done.
    schedule: Option<Schedule>,
    /// Why nothing was done; empty when it was.
    user_errors: Vec<OrganizerError>,
}

impl From<Result<catalogue::Schedule, Vec<CatalogueRefusal>>> for SchedulePayload {
    fn from(outcome: Result<catalogue::Schedule, Vec<CatalogueRefusal>>) -> Self {
        let (schedule, user_errors) =
            payload_of_form(outcome.map(Schedule::from), OrganizerError::from);
        Self { schedule, user_errors }
    }
}

/// Finding schedules.
#[derive(Debug, Default)]
pub(super) struct ScheduleQuery;

#[Object]
impl ScheduleQuery {
    /// Performances of a concert for a calendar, earliest first; 500 at most. Each counts with its fields towards what a
    /// request may ask for; where that is too much, ask for a shorter time.
    #[graphql(complexity = "budget::SCHEDULES + child_complexity")]
    async fn schedules(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The concert; a list without entries when there is none of this id.")]
        concert_id: ID,
        #[graphql(desc = "Those that start at this instant or later.")] from: Option<DateTime>,
        #[graphql(desc = "Those that start before this instant.")] to: Option<DateTime>,
        #[graphql(
            desc = "Those of these states; null for all.",
            default_with = "Some(vec![ScheduleStatus::OnSale])"
        )]
        status: Option<Vec<ScheduleStatus>>,
        #[graphql(
            desc = "Leaves out what is not on sale, and what is sold out. Where every seat that is left is held, one may \
                          come back, so that is among them.",
            default = false
        )]
        available_only: bool,
    ) -> ApiResult<List<Schedule>> {
        match ConcertId::parse(&concert_id) {
            Some(id) => schedules_of(ctx, id, filter(ctx, from, to, status, available_only)).await,
            None => Ok(List::paid(Vec::new())),
        }
    }

    /// One performance; null when there is none of this id, or none that the caller may see.
    async fn schedule(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which one.")] id: ID,
    ) -> ApiResult<Option<Schedule>> {
        let Some(id) = ScheduleId::parse(&id) else { return Ok(None) };
        let viewer = context::caller(ctx).map(|actor| actor.person_id);
        let found = loaders::load(ctx, id).await?;
        Ok(found.filter(|schedule| schedule.visible_to(viewer)).map(Schedule::from))
    }
}

/// Running schedules.
#[derive(Debug, Default)]
pub(super) struct ScheduleMutation;

#[Object]
impl ScheduleMutation {
    /// Makes a performance with its seats, as a DRAFT. Every field at fault has an entry in `userErrors`. For organizers.
    async fn create_schedule(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "When it is, and in which hall.")] input: CreateScheduleInput,
    ) -> ApiResult<SchedulePayload> {
        let actor = context::organizer(ctx)?;
        let outcome =
            settle(context::app(ctx)?.sales.create(actor.person_id, input.parse()).await)?;
        if has_not_found(&outcome, &CatalogueRefusal::ConcertNotFound) {
            context::still_here(ctx, actor).await?;
        }
        Ok(outcome.into())
    }

    /// Turns a DRAFT ON_SALE: fans see it, and may enter its waiting room. Safe to repeat. For organizers.
    async fn open_sale(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "A performance of the caller.")] schedule_id: ID,
    ) -> ApiResult<SchedulePayload> {
        change(ctx, &schedule_id, async |app, organizer, id| {
            app.sales.open(organizer, id).await.map_err(Failure::from)
        })
        .await
    }

    /// Closes the sale for good; what was sold stays sold. Safe to repeat. For organizers.
    async fn close_sale(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "A performance of the caller.")] schedule_id: ID,
    ) -> ApiResult<SchedulePayload> {
        change(ctx, &schedule_id, async |app, organizer, id| {
            app.sales.close(organizer, id).await.map_err(Failure::from)
        })
        .await
    }

    /// The performance does not take place: holds end, everybody is refunded, also after it began. Safe to repeat. For
    /// organizers.
    async fn cancel_schedule(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "A performance of the caller.")] schedule_id: ID,
    ) -> ApiResult<SchedulePayload> {
        change(ctx, &schedule_id, async |app, organizer, id| {
            app.sales.call_off(organizer, id).await.map_err(Failure::from)
        })
        .await
    }

    /// Changes the waiting room while it runs; fields left out stay as they are. Every field at fault has an entry in
    /// `userErrors`. For organizers.
    async fn configure_waiting_room(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "A performance of the caller.")] schedule_id: ID,
        #[graphql(desc = "What is to change.")] input: WaitingRoomInput,
    ) -> ApiResult<SchedulePayload> {
        change(ctx, &schedule_id, async |app, organizer, id| {
            app.waiting_rooms.configure(organizer, id, input.into()).await?;
            let schedule = app.catalogue.schedule(id).await?;
            Ok(schedule.ok_or(Fault::internal("a schedule vanished"))?)
        })
        .await
    }
}

fn has_not_found<T>(outcome: &Result<T, Vec<CatalogueRefusal>>, what: &CatalogueRefusal) -> bool {
    matches!(outcome, Err(refusals) if refusals.contains(what))
}

/// Changes a schedule of the caller.
async fn change(
    ctx: &Context<'_>,
    schedule_id: &ID,
    work: impl AsyncFnOnce(
        &App,
        PersonId,
        ScheduleId,
    ) -> Result<catalogue::Schedule, Failure<Vec<CatalogueRefusal>>>,
) -> ApiResult<SchedulePayload> {
    let actor = context::organizer(ctx)?;
    let app = context::app(ctx)?;
    let outcome = match ScheduleId::parse(schedule_id) {
        Some(id) => settle(work(app, actor.person_id, id).await)?,
        None => Err(vec![CatalogueRefusal::ScheduleNotFound]),
    };
    if has_not_found(&outcome, &CatalogueRefusal::ScheduleNotFound) {
        context::still_here(ctx, actor).await?;
    }
    Ok(outcome.into())
}
