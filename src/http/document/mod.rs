//! Documents: parsed once, measured once, and kept.
//!
//! async-graphql walks every fragment spread again before its own limits look at the result, so a document of a few hundred
//! bytes can cost seconds. Therefore nothing reaches the schema that `measure` has not bounded, in linear time.

mod measure;
mod spelling;
mod tokens;
mod work;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_graphql::{
    Name,
    parser::{
        Error as ParseError, parse_query,
        types::{ExecutableDocument, OperationDefinition, OperationType},
    },
};
use measure::Facts;
use quick_cache::{Weighter, sync::Cache};
pub(super) use work::Work;

use super::error::Refusal;
use crate::{api::Plan, kernel::RequestCode};

/// The longest document, in bytes.
const DOCUMENT_BYTES_MAX: usize = 16 * 1024;
/// Selections of a subscription, which stay in memory for as long as it runs.
const SUBSCRIPTION_SELECTIONS_MAX: u32 = 250;
/// How many bytes of documents are kept, about.
const CACHE_BYTES: u64 = 32 * 1024 * 1024;
/// What a token takes at most, once it is parsed; the text alone would not tell, `a` being a field of 200 bytes.
const TOKEN_BYTES: usize = 256;

/// The documents that clients sent of late.
pub(super) struct Documents {
    cache: Cache<String, Arc<Prepared>, Weight>,
}

#[derive(Clone)]
struct Weight;

impl Weighter<String, Arc<Prepared>> for Weight {
    fn weight(&self, text: &String, prepared: &Arc<Prepared>) -> u64 {
        let bytes = prepared.tokens.saturating_mul(TOKEN_BYTES).saturating_add(text.len());
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }
}

/// A document within all limits.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) document: ExecutableDocument,
    operations: Vec<Operation>,
    tokens: usize,
}

/// What is known of one operation of a document.
#[derive(Debug)]
pub(super) struct Operation {
    /// Its name, for the log.
    pub(super) name: Option<Name>,
    /// What it does.
    pub(super) kind: Kind,
    /// Its root field, if it has one only.
    pub(super) field: Option<Name>,
    /// What it is about.
    pub(super) work: Work,
    /// How its results may be written without async-graphql; for subscriptions.
    pub(super) plan: Option<Arc<Plan>>,
    facts: Facts,
}

impl Operation {
    /// What its fields cost, with one item in each list.
    pub(super) fn values(&self) -> usize {
        usize::try_from(self.facts.values).unwrap_or(usize::MAX)
    }

    /// The name of its one field, if it is a mutation.
    pub(super) fn mutation(&self) -> Option<&str> {
        self.field.as_deref().filter(|_| self.kind == Kind::Mutation)
    }

    /// Whether it asks for the schema.
    pub(super) const fn introspects(&self) -> bool {
        self.facts.introspects
    }
}

/// What an operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Reads.
    Query,
    /// Writes.
    Mutation,
    /// Goes on telling.
    Subscription,
}

impl Kind {
    /// As in the metrics.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Mutation => "mutation",
            Self::Subscription => "subscription",
        }
    }
}

impl From<OperationType> for Kind {
    fn from(ty: OperationType) -> Self {
        match ty {
            OperationType::Query => Self::Query,
            OperationType::Mutation => Self::Mutation,
            OperationType::Subscription => Self::Subscription,
        }
    }
}

impl Documents {
    /// No documents yet.
    pub(super) fn new() -> Self {
        Self { cache: Cache::with_weighter(2_000, CACHE_BYTES, Weight) }
    }

    /// The document, parsed and within all limits.
    ///
    /// # Errors
    /// BAD_REQUEST when it is malformed, QUERY_TOO_COMPLEX when it is beyond a limit.
    pub(super) fn prepare(&self, text: &str) -> Result<Arc<Prepared>, Refusal> {
        if let Some(prepared) = self.cache.get(text) {
            return Ok(prepared);
        }
        let prepared = Arc::new(prepare(text)?);
        self.cache.insert(text.to_owned(), Arc::clone(&prepared));
        Ok(prepared)
    }
}

fn prepare(text: &str) -> Result<Prepared, Refusal> {
    if text.len() > DOCUMENT_BYTES_MAX {
        return Err(too_complex("The document is longer than 16 KiB."));
    }
    let tokens = tokens::count(text)?;
    let document = parse_query(spelling::respelt(text)).map_err(malformed)?;
    let facts = measure::check(&document)?;
    let operations = document.operations.iter().zip(facts);
    let operations = operations
        .map(|((name, operation), facts)| {
            let kind = operation.node.ty.into();
            let plan = (kind == Kind::Subscription).then(|| Plan::of(&document, &operation.node));
            let plan = plan.flatten().map(Arc::new);
            let field = (facts.roots == 1)
                .then(|| work::field(&document, &operation.node.selection_set.node).cloned())
                .flatten();
            Operation {
                name: name.cloned(),
                kind,
                work: about(kind, field.as_deref()),
                field,
                plan,
                facts,
            }
        })
        .collect();
    Ok(Prepared { document, operations, tokens })
}

/// What an operation is about. A mutation that does not have one field is refused before anybody asks.
fn about(kind: Kind, field: Option<&str>) -> Work {
    field.filter(|_| kind == Kind::Mutation).map_or(Work::Usual, Work::of)
}

impl Prepared {
    /// The operation that a request names, or the only one.
    ///
    /// # Errors
    /// BAD_REQUEST when there is no such operation, or it has too many root fields; QUERY_TOO_COMPLEX when it is too large
    /// for what it does.
    pub(super) fn select(&self, name: Option<&str>) -> Result<&Operation, Refusal> {
        let operation = match (name, self.operations.as_slice()) {
            (Some(name), operations) => operations
                .iter()
                .find(|operation| operation.name.as_deref() == Some(name))
                .ok_or_else(|| bad_request("The document has no operation of that operationName.")),
            (None, [operation]) => Ok(operation),
            (None, _) => Err(bad_request(
                "The document has several operations; name the one to run in operationName.",
            )),
        }?;
        let Facts { roots, direct, selections, .. } = operation.facts;
        match operation.kind {
            Kind::Mutation if roots != 1 => {
                Err(bad_request("A mutation must have exactly one root field; send one a request."))
            }
            // async-graphql passes over fragments at a subscription's root without a word.
            Kind::Subscription if roots != 1 || !direct => Err(bad_request(
                "A subscription must have exactly one root field, outside of fragments.",
            )),
            Kind::Subscription if selections > SUBSCRIPTION_SELECTIONS_MAX => {
                Err(too_complex("The subscription selects too much."))
            }
            Kind::Query | Kind::Mutation | Kind::Subscription => Ok(operation),
        }
    }
}

impl Prepared {
    /// An operation of the document, as it was parsed.
    pub(super) fn definition(&self, operation: &Operation) -> Option<&OperationDefinition> {
        let named = |(name, _): &(Option<&Name>, _)| *name == operation.name.as_ref();
        self.document.operations.iter().find(named).map(|(_, definition)| &definition.node)
    }
}

/// Says what is wrong without repeating the source, which the parser's own text does.
fn malformed(error: ParseError) -> Refusal {
    let at = error.positions().next();
    let refusal = match error {
        ParseError::Syntax { start, .. } => bad_request(format!(
            "The document has a syntax error at line {}, column {}.",
            start.line, start.column
        )),
        ParseError::MultipleOperations { .. } => {
            bad_request("A document of several operations must name them all.")
        }
        ParseError::OperationDuplicated { .. } => {
            bad_request("The document has two operations of one name.")
        }
        ParseError::FragmentDuplicated { .. } => {
            bad_request("The document has two fragments of one name.")
        }
        ParseError::MissingOperation => bad_request("The document has no operation."),
        ParseError::RecursionLimitExceeded => too_complex("The document nests too deep."),
        _ => bad_request("The document is malformed."),
    };
    refusal.at(at)
}

fn bad_request(message: impl Into<String>) -> Refusal {
    Refusal::new(RequestCode::BadRequest, message)
}

fn too_complex(message: impl Into<String>) -> Refusal {
    Refusal::new(RequestCode::QueryTooComplex, message)
}
