//! A hall as an answer: the one list that may be as long as the product needs it.
//!
//! The first `seats` of a request costs nothing but its price. A hall that is larger than a request's budget is written as
//! JSON part by part, so that no more than a part of it stands in memory as values, and few are written at once.

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
            "Many look at large halls at the moment; ask for one `section`, or try again in a moment.",
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
    /// More than other answers may hold: written part by part.
    large: bool,
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
        // What is written part by part cannot be merged with another list of the same key.
        let free =
            !budget::is_repeated(ctx, &ctx.item.node.response_key().node) && budget.first_hall();
        let values = maps.count(id, filter).await?.saturating_mul(seat);
        if !free {
            budget.spend(values.saturating_sub(seat))?;
        } else if values > VALUES_OF_HALL_MAX {
            return Err(TOO_LARGE);
        }
        let large = free && values > VALUES_MAX;
        if large {
            let halls = ctx.data_opt::<Halls>();
            halls.ok_or_else(|| ApiError::internal("no halls"))?.turn(budget).await?;
        }
        Ok(Self { seats: maps.seats(id, filter).await?, free, large })
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
        let mut written = Written::default();
        let mut values = Vec::new();
        for (part, seats) in self.seats.chunks(ITEMS_AT_ONCE).enumerate() {
            if part > 0 {
                yield_now().await;
            }
            let seats: Vec<Seat> = seats.iter().map(|seat| Seat::of(seat, self.free)).collect();
            let resolved = resolve_items(ctx, field, part * ITEMS_AT_ONCE, &seats).await?;
            if self.large {
                written.add(&resolved).map_err(|error| budget::server_error(ctx, field, error))?;
            } else {
                values.extend(resolved);
            }
        }
        if !self.large {
            return Ok(Value::List(values));
        }
        written.finish().map_err(|error| budget::server_error(ctx, field, error))
    }
}

/// A list that is JSON already.
#[derive(Debug, Default)]
struct Written(Vec<u8>);

impl Written {
    fn add(&mut self, items: &[Value]) -> ApiResult<()> {
        for item in items {
            self.0.push(if self.0.is_empty() { b'[' } else { b',' });
            serde_json::to_writer(&mut self.0, item)
                .map_err(|_| ApiError::internal("a seat that cannot be written"))?;
        }
        if self.0.len() > BYTES_MAX { Err(TOO_LARGE) } else { Ok(()) }
    }

    /// The list as a value that is written as it is.
    fn finish(mut self) -> ApiResult<Value> {
        self.0.extend_from_slice(if self.0.is_empty() { b"[]" } else { b"]" });
        let json = String::from_utf8(self.0);
        let json = json.map_err(|_| ApiError::internal("seats that are no text"))?;
        // How such a value is marked is between async-graphql and serde_json.
        let Ok(Value::Object(mut marked)) = to_value(RawValue::NULL) else {
            return Err(ApiError::internal("a list cannot be put into an answer as it is written"));
        };
        if let Some(value) = marked.values_mut().next() {
            *value = Value::String(json);
        }
        Ok(Value::Object(marked))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(items: &[Value]) -> String {
        let mut written = Written::default();
        for part in items.chunks(2) {
            assert!(written.add(part).is_ok());
        }
        let value = written.finish().expect("a list");
        serde_json::to_string(&value).expect("JSON")
    }

    #[test]
    fn what_was_written_part_by_part_is_the_list() {
        for count in [0, 1, 2, 5] {
            let items: Vec<Value> = (0..count).map(|n| Value::from(format!("\"{n}"))).collect();
            let plain = serde_json::to_string(&Value::List(items.clone())).expect("JSON");
            assert_eq!(written(&items), plain);
        }
    }

    #[test]
    fn a_list_is_refused_when_it_becomes_too_long() {
        let mut list = Written::default();
        let long = [Value::from("x".repeat(BYTES_MAX / 2))];
        assert!(list.add(&long).is_ok());
        assert!(list.add(&long).is_err());
    }
}
