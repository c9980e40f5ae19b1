//! Lists and texts that pay for what they really hold.

use std::borrow::Cow;

use async_graphql::{
    Context, ContextSelectionSet, OutputType, Positioned, ServerResult, Value,
    parser::types::Field, registry::Registry,
};
use futures_util::future::try_join_all;
use tokio::task::yield_now;

use super::{ApiResult, budget};

/// Items that are resolved side by side, so that their reads are gathered; a whole page is. Between two such parts of a list
/// others get their turn.
pub(super) const ITEMS_AT_ONCE: usize = 128;

/// A list whose size no argument tells. In the schema it is the list of its items.
#[derive(Debug, Clone)]
pub(super) struct List<T>(Vec<T>);

impl<T> List<T> {
    /// The answer of the field that is being resolved, when the request can pay for it. Nothing is built before that.
    pub(super) fn of(
        ctx: &Context<'_>,
        items: impl ExactSizeIterator<Item = T>,
    ) -> ApiResult<Self> {
        budget::spend_on_items(ctx, &ctx.item.node.selection_set.node, items.len())?;
        Ok(Self(items.collect()))
    }

    /// A list whose length somebody else looks after.
    pub(super) const fn paid(items: Vec<T>) -> Self {
        Self(items)
    }
}

impl<T: OutputType> OutputType for List<T> {
    fn type_name() -> Cow<'static, str> {
        Vec::<T>::type_name()
    }

    fn qualified_type_name() -> String {
        Vec::<T>::qualified_type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        Vec::<T>::create_type_info(registry)
    }

    async fn resolve(
        &self,
        ctx: &ContextSelectionSet<'_>,
        field: &Positioned<Field>,
    ) -> ServerResult<Value> {
        let mut values = Vec::with_capacity(self.0.len());
        for part in self.0.chunks(ITEMS_AT_ONCE) {
            if !values.is_empty() {
                yield_now().await;
            }
            values.extend(resolve_items(ctx, field, values.len(), part).await?);
        }
        Ok(Value::List(values))
    }
}

/// Resolves some items of a list, the first of which has the index `from`.
pub(super) async fn resolve_items<T: OutputType>(
    ctx: &ContextSelectionSet<'_>,
    field: &Positioned<Field>,
    from: usize,
    items: &[T],
) -> ServerResult<Vec<Value>> {
    let resolved = items.iter().enumerate().map(|(index, item)| async move {
        let ctx = ctx.with_index(from + index);
        item.resolve(&ctx, field).await.map_err(|error| ctx.set_error_path(error))
    });
    try_join_all(resolved).await
}

/// A text that people wrote, and that may be long. In the schema it is a String.
#[derive(Debug, Clone)]
pub(super) struct Text<T> {
    text: T,
    paid: bool,
}

impl<T> Text<T> {
    /// A text that costs by its length.
    pub(super) const fn new(text: T) -> Self {
        Self { text, paid: false }
    }

    /// One whose length somebody else looks after.
    pub(super) const fn paid(text: T) -> Self {
        Self { text, paid: true }
    }
}

impl<T: AsRef<str> + Send + Sync> OutputType for Text<T> {
    fn type_name() -> Cow<'static, str> {
        <String as OutputType>::type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        <String as OutputType>::create_type_info(registry)
    }

    async fn resolve(
        &self,
        ctx: &ContextSelectionSet<'_>,
        field: &Positioned<Field>,
    ) -> ServerResult<Value> {
        let text = self.text.as_ref();
        let values = if self.paid { 0 } else { budget::of_text(written_bytes(text)) };
        if values > 0 {
            budget::spend(ctx, values).map_err(|error| budget::server_error(ctx, field, error))?;
        }
        Ok(Value::String(text.to_owned()))
    }
}

/// How long a text becomes in JSON. Of the control characters, texts of people have those with short escapes only.
fn written_bytes(text: &str) -> usize {
    let escaped = text.bytes().filter(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f)).count();
    text.len() + escaped
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use async_graphql::{EmptyMutation, EmptySubscription, Object, Request, Response, Schema};
    use futures_util::FutureExt;

    use super::{
        super::budget::{Budget, VALUES_MAX},
        *,
    };

    struct Item;

    #[Object]
    impl Item {
        async fn id(&self) -> i32 {
            7
        }

        async fn text(&self) -> Text<String> {
            Text::new("\"".repeat(64))
        }

        async fn items(&self, ctx: &Context<'_>, count: usize) -> ApiResult<List<Self>> {
            List::of(ctx, (0..count).map(|_| Self))
        }

        async fn fails(&self, at: usize) -> List<Fails> {
            List::paid((0..=at).map(|index| Fails(index == at)).collect())
        }
    }

    struct Fails(bool);

    #[Object]
    impl Fails {
        async fn it(&self) -> async_graphql::Result<i32> {
            if self.0 { Err("broken".into()) } else { Ok(1) }
        }
    }

    /// Runs a query whose own fields have been paid for.
    async fn run(query: &str, budget: &Arc<Budget>) -> Response {
        let schema = Schema::build(Item, EmptyMutation, EmptySubscription).finish();
        schema.execute(Request::new(query).data(Arc::clone(budget))).await
    }

    /// How many values a query costs beside its own fields.
    async fn cost(query: &str) -> usize {
        let budget = Budget::new(0);
        assert!(run(query, &budget).await.is_ok(), "{query}");
        VALUES_MAX - budget.left()
    }

    #[tokio::test]
    async fn lists_cost_what_they_hold() {
        let long = "x".repeat(100);
        for (query, expected) in [
            ("{ items(count: 1) { id } }".to_owned(), 0),
            ("{ items(count: 0) { id } }".to_owned(), 0),
            ("{ items(count: 11) { id } }".to_owned(), 10),
            ("{ items(count: 11) { id __typename id } }".to_owned(), 30),
            (format!("{{ items(count: 11) {{ {long}: id }} }}"), 40),
            ("{ items(count: 11) { ...F ... { id } } } fragment F on Item { id }".to_owned(), 20),
            ("{ items(count: 11) { items(count: 3) { id } } }".to_owned(), 20 + 11 * 2),
            ("{ items(count: 11) { id @skip(if: true) } }".to_owned(), 0),
            ("{ text }".to_owned(), 2),
            ("{ items(count: 3) { text } }".to_owned(), 2 + 3 * 2),
        ] {
            assert_eq!(cost(&query).await, expected, "{query}");
        }
    }

    #[tokio::test]
    async fn a_list_beyond_the_budget_is_refused_before_it_is_resolved() {
        let query = "{ items(count: 100) { items(count: 100) { items(count: 100) { id } } } }";
        let response = run(query, &Budget::new(0)).await;
        let error = &response.errors[0];
        let code = error.extensions.as_ref().and_then(|extensions| extensions.get("code"));
        assert_eq!(code, Some(&Value::from("QUERY_TOO_COMPLEX")));
        assert!(!error.path.is_empty() && !error.locations.is_empty(), "{error:?}");
    }

    #[tokio::test]
    async fn an_item_that_fails_is_named_by_its_place_in_the_list() {
        let response = run("{ fails(at: 300) { it } }", &Budget::new(0)).await;
        let path = serde_json::to_value(&response.errors[0].path).unwrap();
        assert_eq!(path, serde_json::json!(["fails", 300, "it"]));
    }

    #[test]
    fn long_lists_let_others_in_between() {
        let budget = Budget::new(0);
        let pending = |count: usize| {
            let query = format!("{{ items(count: {count}) {{ id }} }}");
            run(&query, &budget).now_or_never().is_none()
        };
        assert!(!pending(ITEMS_AT_ONCE));
        assert!(pending(ITEMS_AT_ONCE + 1));
    }

    #[test]
    fn in_the_schema_they_are_what_they_hold() {
        let sdl = Schema::build(Item, EmptyMutation, EmptySubscription).finish().sdl();
        assert!(
            sdl.contains("items(count: Int!): [Item!]!") && sdl.contains("text: String!"),
            "{sdl}"
        );
    }
}
