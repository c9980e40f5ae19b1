//! The GraphQL schema: a file per noun, and nothing but translation between the API and the services.
//!
//! Each noun brings a piece of the roots; they are put together here.

mod account;
mod concert;
mod context;
mod error;
mod gather;
mod loaders;
mod page;
mod scalars;
mod schedule;
mod user_error;

use async_graphql::{EmptySubscription, MergedObject, Schema, SchemaBuilder};
pub use context::{Caller, RequestId};
pub(crate) use error::ApiError;
use error::ApiResult;

use crate::app::App;

/// How deep fields may nest; GraphiQL's introspection takes 15.
const DEPTH_MAX: usize = 16;
/// What one document may cost: a field costs one, and a list its size times its items.
const COMPLEXITY_MAX: usize = 5_000;

/// The schema with its services.
pub type FrontrowSchema = Schema<Query, Mutation, EmptySubscription>;

/// Reads.
#[derive(MergedObject, Debug, Default)]
pub struct Query(account::AccountQuery, concert::ConcertQuery, schedule::ScheduleQuery);

/// Writes. Each has one payload: the object that was changed, or `userErrors` that say why nothing was.
#[derive(MergedObject, Debug, Default)]
pub struct Mutation(account::AccountMutation, concert::ConcertMutation, schedule::ScheduleMutation);

/// Builds the schema around the services.
pub fn schema(app: App) -> FrontrowSchema {
    builder().data(loaders::Loaders::new(loaders::Reads { app: app.clone() })).data(app).finish()
}

/// The schema in GraphQL's schema definition language, as `frontrow schema` prints it.
pub fn sdl() -> String {
    builder().finish().sdl()
}

fn builder() -> SchemaBuilder<Query, Mutation, EmptySubscription> {
    Schema::build(Query::default(), Mutation::default(), EmptySubscription)
        .register_output_type::<user_error::UserError>()
        .register_output_type::<user_error::RequestErrorCode>()
        .disable_suggestions()
        .limit_depth(DEPTH_MAX)
        .limit_complexity(COMPLEXITY_MAX)
}
