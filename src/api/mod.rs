//! The GraphQL schema: a file per noun, and nothing but translation between the API and the services.
//!
//! Each noun brings a piece of the roots; they are put together here.

mod account;
mod budget;
mod cancellation;
mod concert;
mod context;
mod desk;
mod error;
mod extension;
mod gather;
mod hall;
mod list;
mod live;
mod loaders;
mod page;
mod payment;
mod plan;
mod reservation;
mod scalars;
mod schedule;
mod seat;
mod user_error;
mod waiting_room;
mod wallet;

use std::fmt;

pub use account::{brings_proof, is_log_out};
use async_graphql::{
    ID, MergedObject, MergedSubscription, SDLExportOptions, Schema, SchemaBuilder,
};
pub use budget::{Budget, VALUES_MAX, of_key, of_text};
pub use context::{Caller, Gone, Origin, RequestId};
pub(crate) use error::ApiError;
use error::ApiResult;
pub use live::{Handover, Plan, Updates};
#[cfg(any(test, fuzzing))]
pub(crate) use page::Cursor;

use crate::app::App;

/// How deep fields may nest; GraphiQL's introspection takes 15.
const DEPTH_MAX: usize = 16;

/// The schema with its services.
pub type FrontrowSchema = Schema<Query, Mutation, Subscription>;

/// Reads.
#[derive(MergedObject, Debug, Default)]
pub struct Query(
    concert::ConcertQuery,
    schedule::ScheduleQuery,
    seat::SeatQuery,
    account::AccountQuery,
    waiting_room::WaitingRoomQuery,
    wallet::WalletQuery,
    reservation::ReservationQuery,
    payment::PaymentQuery,
    desk::DeskQuery,
);

/// Writes. Each has one payload: the object that was changed, or `userErrors` that say why nothing was.
#[derive(MergedObject, Debug, Default)]
pub struct Mutation(
    account::AccountMutation,
    waiting_room::WaitingRoomMutation,
    reservation::ReservationMutation,
    cancellation::CancellationMutation,
    extension::ExtensionMutation,
    payment::PaymentMutation,
    wallet::WalletMutation,
    concert::ConcertMutation,
    schedule::ScheduleMutation,
);

/// What changes, as it changes.
#[derive(MergedSubscription, Debug, Default)]
pub struct Subscription(
    waiting_room::WaitingRoomSubscription,
    seat::SeatSubscription,
    reservation::ReservationSubscription,
);

/// Names a part of something that has an id of its own: caches find it again, whatever type they look for.
fn part_id(whole: impl fmt::Display, part: impl fmt::Display) -> ID {
    format!("{whole}/{part}").into()
}

/// Builds the schema around the services.
pub fn schema(app: App) -> FrontrowSchema {
    let loaders = loaders::Loaders::new(loaders::Reads { app: app.clone() });
    builder().data(loaders).data(hall::Halls::default()).data(app).finish()
}

/// The schema in GraphQL's schema definition language, as `frontrow schema` prints it.
pub fn sdl() -> String {
    builder().finish().sdl_with_options(SDLExportOptions::new().include_specified_by())
}

/// The schema without its services: it can tell about itself, and nothing else.
#[cfg(any(test, fuzzing))]
pub(crate) fn bare_schema() -> FrontrowSchema {
    builder().finish()
}

fn builder() -> SchemaBuilder<Query, Mutation, Subscription> {
    Schema::build(Query::default(), Mutation::default(), Subscription::default())
        .register_output_type::<user_error::UserError>()
        .register_output_type::<error::RequestErrorCode>()
        .disable_suggestions()
        .limit_depth(DEPTH_MAX)
        .limit_complexity(VALUES_MAX)
}
