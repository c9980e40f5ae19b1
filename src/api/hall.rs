//! A hall as an answer: the one list that may be as long as the product needs it.
//!
//! The first `seats` of a request costs nothing but its price. It is written as JSON by a plan, seat by seat, and stands in
//! memory as text only. Of halls that are larger than a request's budget, few are written at once.

use std::{borrow::Cow, sync::Arc};

use async_graphql::{
    Context, ContextSelectionSet, OutputType, Positioned, ServerResult, Value,
    parser::types::Field, registry::Registry, to_value,
};
use serde_json::value::RawValue;
use tokio::{sync::Semaphore, task::yield_now};

use super::{
    ApiError, ApiResult,
    budget::{self, Budget, VALUES_MAX},
    list::{ITEMS_AT_ONCE, resolve_items},
    plan::{self, ObjectPlan, escaped, plain, quoted},
    seat::Seat,
};
use crate::{
    kernel::{RequestCode, ScheduleId},
    seat_map::{SeatFilter, SeatMaps, SeatView},
};

/// Values of the largest hall: 100,000 seats with ten fields each.
const VALUES_OF_HALL_MAX: usize = 1_000_000;
/// The longest list of seats, in bytes of JSON.
const BYTES_MAX: usize = 8 * 1024 * 1024;
/// Seats that are written before others get their turn: some hundred microseconds.
const SEATS_AT_ONCE: usize = 1_024;
/// Requests that wait for their turn to have a large hall written. Who comes then is better told at once.
const WAITING_MAX: usize = 256;

const TOO_LARGE: ApiError = ApiError::new(
    RequestCode::QueryTooComplex,
    "This hall is too large for one answer; ask for one `section` at a time, or for fewer fields.",
);

/// Who may have a large hall written; part of the schema's data.
#[derive(Debug)]
pub(super) struct Halls {
    at_once: Arc<Semaphore>,
    waiting: Semaphore,
}

impl Default for Halls {
    /// Half of the cores write halls; the others are for everybody else.
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            at_once: Arc::new(Semaphore::new((cores / 2).max(1))),
            waiting: Semaphore::new(WAITING_MAX),
        }
    }
}

impl Halls {
    /// Waits for the caller's turn, which lasts for as long as the budget lives. The request's own time limit ends this.
    async fn turn(&self, budget: &Budget) -> ApiResult<()> {
        let busy = ApiError::new(
            RequestCode::Overloaded,
            "Many look at large halls at the moment; ask for one section, or try again in a moment.",
        );
        let _waiting = self.waiting.try_acquire().map_err(|_| busy)?;
        let permit = Arc::clone(&self.at_once).acquire_owned().await;
        budget.keep(permit.map_err(|_| ApiError::internal("nobody may write halls any more"))?);
        Ok(())
    }
}

/// The seats of a hall. In the schema it is a list of seats.
#[derive(Debug)]
pub(super) struct Hall {
    seats: Vec<SeatView>,
    /// Outside of the budget.
    free: bool,
}

impl Hall {
    /// The seats that a filter lets through, within what the request may still ask for.
    pub(super) async fn look(
        ctx: &Context<'_>,
        maps: &SeatMaps,
        id: ScheduleId,
        filter: &SeatFilter,
    ) -> ApiResult<Self> {
        let budget = budget::of(ctx)?;
        let seat = budget::weight(ctx, &ctx.item.node.selection_set.node);
        // What is written already cannot be merged with another list of the same key.
        let free =
            !budget::is_repeated(ctx, &ctx.item.node.response_key().node) && budget.first_hall();
        let values = maps.count(id, filter).await?.saturating_mul(seat);
        if !free {
            budget.spend(values.saturating_sub(seat))?;
        } else if values > VALUES_OF_HALL_MAX {
            return Err(TOO_LARGE);
        }
        if free && values > VALUES_MAX {
            let halls = ctx.data_opt::<Halls>();
            halls.ok_or_else(|| ApiError::internal("no halls"))?.turn(budget).await?;
        }
        Ok(Self { seats: maps.seats(id, filter).await?, free })
    }
}

impl OutputType for Hall {
    fn type_name() -> Cow<'static, str> {
        Vec::<Seat>::type_name()
    }

    fn qualified_type_name() -> String {
        Vec::<Seat>::qualified_type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        Vec::<Seat>::create_type_info(registry)
    }

    async fn resolve(
        &self,
        ctx: &ContextSelectionSet<'_>,
        field: &Positioned<Field>,
    ) -> ServerResult<Value> {
        // What a directive leaves out is not in the selection any more.
        let plan = ObjectPlan::of(&ctx.item.node, &ctx.query_env.fragments);
        if let Some(plan) = plan.filter(|_| self.free) {
            let list = self.write(&plan).await.and_then(as_written);
            return list.map_err(|error| budget::server_error(ctx, field, error));
        }
        let mut values = Vec::new();
        for seats in self.seats.chunks(ITEMS_AT_ONCE) {
            if !values.is_empty() {
                yield_now().await;
            }
            let seats: Vec<Seat> = seats.iter().map(|seat| Seat::of(seat, self.free)).collect();
            values.extend(resolve_items(ctx, field, values.len(), &seats).await?);
        }
        Ok(Value::List(values))
    }
}

impl Hall {
    /// The list as JSON.
    async fn write(&self, plan: &ObjectPlan<Leaf>) -> ApiResult<String> {
        let mut json = String::from("[");
        for (part, seats) in self.seats.chunks(SEATS_AT_ONCE).enumerate() {
            if part > 0 {
                yield_now().await;
            }
            for seat in seats {
                plan.render(&mut json, |leaf, out| leaf.write(seat, out));
                json.push(',');
            }
            if json.len() > BYTES_MAX {
                return Err(TOO_LARGE);
            }
        }
        // The last comma, where there is one.
        json.truncate(json.trim_end_matches(',').len());
        json.push(']');
        Ok(json)
    }
}

/// JSON as a value that is written as it is.
fn as_written(json: String) -> ApiResult<Value> {
    // How such a value is marked is between async-graphql and serde_json.
    let Ok(Value::Object(mut marked)) = to_value(RawValue::NULL) else {
        return Err(ApiError::internal("a list cannot be put into an answer as it is written"));
    };
    if let Some(value) = marked.values_mut().next() {
        *value = Value::String(json);
    }
    Ok(Value::Object(marked))
}

/// A field of a seat; those of `api::seat::Seat`, to the letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leaf {
    Id,
    Section,
    Row,
    Number,
    Grade,
    Price,
    Status,
    Version,
}

impl plan::Leaf for Leaf {
    const TYPE: &str = "Seat";
    const ALL: &[(&str, Self)] = &[
        ("id", Self::Id),
        ("section", Self::Section),
        ("row", Self::Row),
        ("number", Self::Number),
        ("grade", Self::Grade),
        ("price", Self::Price),
        ("status", Self::Status),
        ("version", Self::Version),
    ];
}

impl Leaf {
    /// Writes this field of a seat.
    fn write(self, seat: &SeatView, out: &mut String) {
        let place = &*seat.place;
        match self {
            Self::Id => quoted(out, place.id.0),
            Self::Section => escaped(out, &place.section),
            Self::Row => escaped(out, &place.row),
            Self::Number => plain(out, place.number),
            Self::Grade => escaped(out, &place.grade),
            Self::Price => plain(out, place.price.get()),
            Self::Status => quoted(out, seat.status.as_str()),
            Self::Version => plain(out, seat.version),
        }
    }
}

#[cfg(test)]
#[path = "hall_tests.rs"]
mod tests;
