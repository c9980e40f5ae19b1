//! The GraphQL schema: a file per noun, and nothing but translation between the API and the services.

mod context;
mod error;

use async_graphql::{EmptySubscription, Object, Schema};
pub use context::{Caller, RequestId};
pub(crate) use error::ApiError;
use error::ApiResult;

use crate::app::App;

/// The schema with its services.
pub type FrontrowSchema = Schema<Query, Mutation, EmptySubscription>;

/// Builds the schema around the services.
pub fn schema(app: App) -> FrontrowSchema {
    Schema::build(Query, Mutation, EmptySubscription).data(app).disable_suggestions().finish()
}

/// Reads.
#[derive(Debug)]
pub struct Query;

#[Object]
impl Query {
    async fn stub(&self) -> ApiResult<i32> {
        Ok(1)
    }
}

/// Writes.
#[derive(Debug)]
pub struct Mutation;

#[Object]
impl Mutation {
    async fn stub(&self) -> ApiResult<i32> {
        Ok(1)
    }
}
