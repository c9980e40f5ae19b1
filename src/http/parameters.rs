//! The parameters of a GraphQL request: in a body of JSON, in the query of an address, or in a `subscribe` of a WebSocket.

use std::{borrow::Cow, sync::Arc};

use async_graphql::{Name, Request, Value, Variables, indexmap::IndexMap};

use super::{persisted::DocumentId, strict::Strict};
use crate::api::{Budget, Caller, RequestId};

/// How many values the parameters have at most, those in lists and objects too: one takes two bytes on the wire and seventy
/// in memory. A performance of fifty sections has three hundred.
const JSON_VALUES_MAX: usize = 4_000;

/// Those that are texts, and those that are JSON, in an address too. Others are somebody else's: `op` is read by proxies.
const TEXTS: [&str; 3] = ["query", "operationName", "documentId"];
const OBJECTS: [&str; 2] = ["variables", "extensions"];

/// About how many values some JSON has: each but the first has a comma, a colon or a bracket in front of it.
fn json_values(json: &[u8]) -> usize {
    let (mut values, mut text, mut escaped) = (1, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if text => escaped = true,
            b'"' => text = !text,
            b',' | b':' | b'[' | b'{' if !text => values += 1,
            _ => {}
        }
    }
    values
}

/// Reads JSON that nests not too deep, has not too many values, and no name twice.
fn read(json: &[u8]) -> Option<Value> {
    if json_values(json) > JSON_VALUES_MAX {
        return None;
    }
    let Strict(value) = serde_json::from_str(std::str::from_utf8(json).ok()?).ok()?;
    Some(value)
}

/// The parameters of a GraphQL request.
#[derive(Debug)]
pub(super) struct Parameters {
    /// The document, unless it is only named.
    pub(super) query: Option<Arc<str>>,
    /// What the document is named by.
    pub(super) document_id: Option<DocumentId>,
    operation_name: Option<String>,
    pub(super) variables: Variables,
}

impl Parameters {
    /// Reads the parameters; batches, unknown shapes, JSON that nests too deep, has too many values or a name twice are refused.
    /// Members that nobody asked for are read as well, and have to be right.
    pub(super) fn parse(json: &[u8]) -> Option<Self> {
        let Value::Object(members) = read(json)? else { return None };
        Self::of(members)
    }

    /// Reads them out of the query of an address; each may stand there once, and what is empty is not there.
    pub(super) fn of_address(query: &str) -> Option<Self> {
        let mut members = IndexMap::new();
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let Some(name) = decoded(name) else { continue };
            let (text, object) = (TEXTS.contains(&&*name), OBJECTS.contains(&&*name));
            if !text && !object {
                continue;
            }
            let value = decoded(value)?;
            let value = match &*value {
                "" => Value::Null,
                value if object => read(value.as_bytes())?,
                value => value.into(),
            };
            if members.insert(Name::new(name), value).is_some() {
                return None;
            }
        }
        Self::of(members)
    }

    fn of(mut members: IndexMap<Name, Value>) -> Option<Self> {
        let mut member = |name: &str| members.swap_remove(name).unwrap_or_default();
        let query = match member("query") {
            Value::Null => None,
            Value::String(query) => Some(Arc::from(query)),
            _ => return None,
        };
        let operation_name = match member("operationName") {
            Value::Null => None,
            Value::String(name) => Some(name),
            _ => return None,
        };
        let variables = match member("variables") {
            variables @ (Value::Null | Value::Object(_)) => Variables::from_value(variables),
            _ => return None,
        };
        let extensions = match member("extensions") {
            Value::Null => None,
            Value::Object(extensions) => Some(extensions),
            _ => return None,
        };
        let document_id = DocumentId::of(member("documentId"), extensions.as_ref()).ok()?;
        // One of them has to say what is asked for.
        (query.is_some() || document_id.is_some()).then_some(Self {
            query,
            document_id,
            operation_name,
            variables,
        })
    }

    /// The operation that is to run, if the document holds several.
    pub(super) fn operation_name(&self) -> Option<&str> {
        self.operation_name.as_deref()
    }

    /// What the schema is to execute. The document has been parsed and guarded before.
    pub(super) fn into_request(
        self,
        document: async_graphql::parser::types::ExecutableDocument,
        caller: Caller,
        request_id: RequestId,
        budget: Arc<Budget>,
    ) -> Request {
        // The text is not needed any more, nor are variables that no operation has; a subscription would keep them for as
        // long as it lives.
        let mut variables = self.variables;
        variables.retain(|name, _| {
            let mut operations = document.operations.iter();
            operations.any(|(_, operation)| {
                let defined = &operation.node.variable_definitions;
                defined.iter().any(|variable| variable.node.name.node == *name)
            })
        });
        let mut request = Request::new("").variables(variables);
        request = request.data(caller).data(request_id).data(budget);
        request.operation_name = self.operation_name;
        request.set_parsed_query(document);
        request
    }
}

/// A name or a value of an address, as forms write them. `None` when it is not written so, or is not UTF-8.
fn decoded(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains(['%', '+']) {
        return Some(text.into());
    }
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let Some((byte, others)) = rest.split_first() {
        rest = others;
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let (digits, others) = rest.split_at_checked(2)?;
                rest = others;
                hexadecimal(digits)?
            }
            other => *other,
        });
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

fn hexadecimal(digits: &[u8]) -> Option<u8> {
    let mut value = 0_u32;
    for digit in digits {
        value = value * 16 + char::from(*digit).to_digit(16)?;
    }
    u8::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_counted_outside_of_texts() {
        assert_eq!(json_values(b"{}"), 2);
        assert_eq!(json_values(br#"{"query":"{a,b:[\",{"}"#), 3);
        let many = |count: usize| {
            format!(r#"{{"query":"{{a}}","variables":{{"x":[{}0]}}}}"#, "0,".repeat(count))
        };
        assert!(Parameters::parse(many(3_900).as_bytes()).is_some());
        assert!(Parameters::parse(many(4_000).as_bytes()).is_none());
        let many =
            |count: usize| format!("query={{a}}&variables={{\"x\":[{}0]}}", "0,".repeat(count));
        assert!(Parameters::of_address(&many(3_900)).is_some());
        assert!(Parameters::of_address(&many(4_000)).is_none());
    }

    #[test]
    fn an_address_is_read_as_forms_are_written() {
        let read = Parameters::of_address(
            "op=me&query=query+q%28%24n%3AString%29%7Bhello%28name%3A%24n%29%7D&operationName=q\
             &variables=%7B%22n%22%3A%22%EA%B3%B5%EC%97%B0+%2B%22%7D&extensions={}&%ff=1",
        )
        .unwrap();
        assert_eq!(read.query.as_deref(), Some("query q($n:String){hello(name:$n)}"));
        assert_eq!(read.operation_name(), Some("q"));
        assert_eq!(read.variables.get("n"), Some(&Value::from("공연 +")));
        let bare =
            Parameters::of_address("query={a}&operationName=&variables=&extensions=").unwrap();
        assert_eq!((bare.query.as_deref(), bare.operation_name()), (Some("{a}"), None));
        assert!(bare.variables.is_empty());
    }

    #[test]
    fn a_document_may_be_named_instead_of_sent() {
        let hash = "0123456789abcdef".repeat(4);
        let named = format!(
            "extensions=%7B%22persistedQuery%22:{{%22version%22:1,%22sha256Hash%22:%22{hash}%22}}}}"
        );
        let by_hash = Parameters::of_address(&named).unwrap();
        let by_id = Parameters::of_address(&format!("documentId=sha256%3A{hash}")).unwrap();
        assert!(
            by_hash.query.is_none() && matches!(by_hash.document_id, Some(DocumentId::Hash(_)))
        );
        assert_eq!(by_hash.document_id, by_id.document_id);
        // Where there are two, the one of the specification stands.
        let both = Parameters::of_address(&format!("{named}&documentId=a")).unwrap();
        assert_eq!(both.document_id, Some(DocumentId::Other("a".into())));
    }

    #[test]
    fn what_an_address_does_not_say_once_and_rightly_is_refused() {
        for query in [
            "",
            "op=me",
            "Query={a}",
            "query={a}&query={a}",
            "query={a}&%71uery={b}",
            "query={a}&operationName=b&operationName=b",
            "query=%7",
            "query=%zz",
            "query=%+1a",
            "query=%ff",
            "query={a}&variables=[]",
            "query={a}&variables=1",
            "query={a}&variables=\"{}\"",
            "query={a}&variables={",
            "query={a}&variables={\"a\":1,\"a\":2}",
            "query={a}&extensions=[]",
            "documentId=",
            "documentId=sha256:00",
            "documentId=a&documentId=a",
            "extensions={\"persistedQuery\":{}}",
        ] {
            assert!(Parameters::of_address(query).is_none(), "{query}");
        }
    }
}
