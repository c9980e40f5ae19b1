//! Concerts: `concerts` and `myConcerts` are `Catalogue::concerts`, `createConcert` is `Catalogue::create_concert`.

use std::sync::Arc;

use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject};

use super::{
    ApiError, ApiResult, budget, context,
    error::settle,
    list::{List, Text},
    loaders, page,
    scalars::DateTime,
    schedule::{self, Schedule, ScheduleStatus},
    user_error::{OrganizerError, payload_of_form},
};
use crate::{
    catalogue::{self, CatalogueRefusal, ConcertFilter, NewConcert, Search},
    kernel::{ConcertId, PageRequest, RequestCode},
};

/// A concert as the API shows it.
#[derive(Debug, Clone)]
pub(super) struct Concert(pub(super) Arc<catalogue::Concert>);

/// A programme of an artist at a venue, performed once or several times.
#[Object]
impl Concert {
    /// Names it; it never changes.
    async fn id(&self) -> ID {
        self.0.id.0.into()
    }

    /// What it is called.
    async fn title(&self) -> Text<&str> {
        Text::new(&self.0.title)
    }

    /// Who performs.
    async fn artist(&self) -> Text<&str> {
        Text::new(&self.0.artist)
    }

    /// Where it is.
    async fn venue(&self) -> Text<&str> {
        Text::new(&self.0.venue)
    }

    /// May have line breaks.
    async fn description(&self) -> Text<&str> {
        Text::new(&self.0.description)
    }

    /// IANA zone of the venue, e.g. Asia/Seoul, for showing local times.
    async fn time_zone(&self) -> &str {
        &self.0.time_zone
    }

    /// Performances, earliest first; 500 at most. Each counts with its fields towards what a request may ask for; where that
    /// is too much, ask for a shorter time.
    #[graphql(complexity = "budget::SCHEDULES + child_complexity")]
    async fn schedules(
        &self,
        ctx: &Context<'_>,
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
        let filter = schedule::filter(ctx, from, to, status, available_only);
        schedule::schedules_of(ctx, self.0.id, filter).await
    }
}

/// A concert to be made.
#[derive(Debug, InputObject)]
pub(super) struct CreateConcertInput {
    /// 1 to 200 characters.
    title: String,
    /// 1 to 200 characters.
    artist: String,
    /// 1 to 200 characters.
    venue: String,
    /// At most 5000 characters; may have line breaks.
    description: String,
    /// IANA zone of the venue, e.g. Asia/Seoul.
    time_zone: String,
}

/// The concert, or why it was not made.
#[derive(Debug, SimpleObject)]
pub(super) struct ConcertPayload {
    /// As it is now; null when nothing was done.
    concert: Option<Concert>,
    /// Why nothing was done; empty when it was.
    user_errors: Vec<OrganizerError>,
}

/// Why an organizer's change was not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub(super) enum OrganizerErrorCode {
    /// It does not exist, or is another organizer's.
    NotFound,
    /// A value is not acceptable; `path` says which.
    ValueInvalid,
    /// The sale is not where this change needs it to be.
    WrongState,
}

impl From<CatalogueRefusal> for OrganizerError {
    fn from(refusal: CatalogueRefusal) -> Self {
        use OrganizerErrorCode as Code;
        match refusal {
            CatalogueRefusal::ConcertNotFound => {
                Self::new(Code::NotFound, "You have no such concert.").at(&["input", "concertId"])
            }
            CatalogueRefusal::ScheduleNotFound => {
                Self::new(Code::NotFound, "You have no such schedule.").at(&["scheduleId"])
            }
            CatalogueRefusal::ValueInvalid { path, message } => {
                let steps: Vec<&str> =
                    std::iter::once("input").chain(path.iter().map(String::as_str)).collect();
                Self::new(Code::ValueInvalid, message).at(&steps)
            }
            CatalogueRefusal::WrongState(message) => {
                Self::new(Code::WrongState, message).at(&["scheduleId"])
            }
        }
    }
}

/// What a page of concerts costs beside its statement and its items.
const fn page_price(chooses: bool) -> usize {
    if chooses { budget::SEARCH } else { budget::CONCERTS }
}

/// A page of concerts, paid for.
async fn list(
    ctx: &Context<'_>,
    request: &PageRequest<ConcertId>,
    filter: &ConcertFilter,
    price: usize,
    continued: bool,
) -> ApiResult<page::Connection<Concert>> {
    budget::spend(ctx, budget::STATEMENT + price)?;
    let found = context::app(ctx)?.catalogue.concerts(request, filter).await?;
    let cursor = |concert: &catalogue::Concert| concert.id;
    page::connection(ctx, found, continued, cursor, |it| Concert(Arc::new(it)))
}

/// Finding concerts.
#[derive(Debug, Default)]
pub(super) struct ConcertQuery;

#[Object]
impl ConcertQuery {
    /// Concerts of which something is published, the latest added first. At most three searches a request; leaving out what is
    /// sold out is one.
    #[graphql(
        complexity = "page::page_cost(first, child_complexity) + page_price(search.is_some() || available_only)"
    )]
    async fn concerts(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many; 0 to 100.", default_with = "Some(page::PAGE_DEFAULT)")]
        first: Option<i32>,
        #[graphql(desc = "The cursor of the last one already seen.")] after: Option<String>,
        #[graphql(
            desc = "Found in titles, artists and venues, whatever its case; at most 100 characters."
        )]
        search: Option<String>,
        #[graphql(
            desc = "Leaves out those without a performance that is on sale and not sold out. Where every seat that is left \
                          is held, one may come back, so that is among them.",
            default = false
        )]
        available_only: bool,
    ) -> ApiResult<page::Connection<Concert>> {
        let request = page::request(first, after.as_deref())?;
        let malformed = ApiError::new(
            RequestCode::BadRequest,
            "`search` has to be at most 100 characters on one line.",
        );
        let search =
            search.as_deref().map(|text| Search::new(text).ok_or(malformed)).transpose()?;
        let price = page_price(search.is_some() || available_only);
        let filter = ConcertFilter::Published { search, available_only };
        list(ctx, &request, &filter, price, after.is_some()).await
    }

    /// The caller's concerts, drafts among them, the latest added first. For organizers.
    #[graphql(complexity = "page::page_cost(first, child_complexity) + page_price(false)")]
    async fn my_concerts(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many; 0 to 100.", default_with = "Some(page::PAGE_DEFAULT)")]
        first: Option<i32>,
        #[graphql(desc = "The cursor of the last one already seen.")] after: Option<String>,
    ) -> ApiResult<page::Connection<Concert>> {
        let actor = context::organizer(ctx)?;
        let request = page::request(first, after.as_deref())?;
        let filter = ConcertFilter::Of(actor.person_id);
        let found = list(ctx, &request, &filter, page_price(false), after.is_some()).await?;
        if found.edges.is_empty() {
            context::still_here(ctx, actor).await?;
        }
        Ok(found)
    }

    /// One concert; null when there is none of this id, or none that the caller may see: one of which nothing is published is its
    /// organizer's.
    async fn concert(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which one.")] id: ID,
    ) -> ApiResult<Option<Concert>> {
        let Some(id) = ConcertId::parse(&id) else { return Ok(None) };
        let viewer = context::caller(ctx).map(|actor| actor.person_id);
        let found = loaders::load(ctx, id).await?;
        Ok(found.filter(|concert| concert.visible_to(viewer)).map(Concert))
    }
}

/// Making concerts.
#[derive(Debug, Default)]
pub(super) struct ConcertMutation;

#[Object]
impl ConcertMutation {
    /// Makes a concert. Every field at fault has an entry in `userErrors`. For organizers.
    async fn create_concert(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What it looks like.")] input: CreateConcertInput,
    ) -> ApiResult<ConcertPayload> {
        let organizer = context::organizer(ctx)?.person_id;
        let CreateConcertInput { title, artist, venue, description, time_zone } = input;
        let new = NewConcert { title, artist, venue, description, time_zone };
        let outcome = settle(context::app(ctx)?.catalogue.create_concert(organizer, new).await)?;
        let (concert, user_errors) =
            payload_of_form(outcome.map(|it| Concert(Arc::new(it))), OrganizerError::from);
        Ok(ConcertPayload { concert, user_errors })
    }
}
