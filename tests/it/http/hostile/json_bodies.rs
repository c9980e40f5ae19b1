//! Bodies that are no request: not JSON, not the shape, not the media type, and values that nest or repeat.

use serde_json::json;

use super::{
    asking::{Http, Row, Sent, row},
    scene::Scene,
};

const BAD: &str = "400 BAD_REQUEST";
const OK: &str = "200 ok";
const GOOD: &str = r#"{"query":"{__typename}"}"#;

pub(super) fn rows(_: &Scene) -> Vec<Row> {
    let bodies =
        shapes().into_iter().chain(named()).chain(broken()).chain(repeated()).chain(sizes());
    let bodies = bodies
        .map(|(name, body, expected)| row(format!("a body: {name}"), Http::post(body), expected));
    bodies.chain(media()).chain(negotiation()).chain(methods()).collect()
}

type Body = (&'static str, Vec<u8>, &'static str);

fn of<const N: usize>(list: [(&'static str, &str, &'static str); N]) -> Vec<Body> {
    list.map(|(name, body, expected)| (name, body.as_bytes().to_vec(), expected)).into()
}

fn shapes() -> Vec<Body> {
    of([
        ("nothing", "", BAD),
        ("white space", " \r\n\t ", BAD),
        ("null", "null", BAD),
        ("true", "true", BAD),
        ("a number", "7", BAD),
        ("a text", r#""{__typename}""#, BAD),
        ("the document itself", "{__typename}", BAD),
        ("an empty object", "{}", BAD),
        ("an empty list", "[]", BAD),
        ("a batch of one", r#"[{"query":"{__typename}"}]"#, BAD),
        ("a batch of two", r#"[{"query":"{__typename}"},{"query":"{me{id}}"}]"#, BAD),
        ("the fields as a list", r#"["{__typename}",null,{}]"#, BAD),
        ("a list of lists", r#"[[{"query":"{__typename}"}]]"#, BAD),
        ("no query", r#"{"variables":{}}"#, BAD),
        ("null for a query", r#"{"query":null}"#, BAD),
        ("a number for a query", r#"{"query":1}"#, BAD),
        ("a list for a query", r#"{"query":["{__typename}"]}"#, BAD),
        ("an object for a query", r#"{"query":{"kind":"Document"}}"#, BAD),
        ("a query under another name", r#"{"Query":"{__typename}"}"#, BAD),
        ("a number for operationName", r#"{"query":"{__typename}","operationName":1}"#, BAD),
        (
            "an operationName that is not there",
            r#"{"query":"query a{__typename}","operationName":"b"}"#,
            BAD,
        ),
        ("an empty operationName", r#"{"query":"{__typename}","operationName":""}"#, BAD),
        ("a list for variables", r#"{"query":"{__typename}","variables":[]}"#, BAD),
        ("a text for variables", r#"{"query":"{__typename}","variables":"{}"}"#, BAD),
        ("a number for variables", r#"{"query":"{__typename}","variables":0}"#, BAD),
        ("a list for extensions", r#"{"query":"{__typename}","extensions":[]}"#, BAD),
        (
            "more than was asked for",
            r#"{"query":"{__typename}","isAdmin":true,"__proto__":{}}"#,
            OK,
        ),
        (
            "variables that nobody declared",
            r#"{"query":"{__typename}","variables":{"a":1,"__proto__":{"a":1}}}"#,
            OK,
        ),
        (
            "null for variables",
            r#"{"query":"{__typename}","variables":null,"extensions":null,"operationName":null}"#,
            OK,
        ),
    ])
}

/// Documents that are named instead of sent.
fn named() -> Vec<Body> {
    of([
        (
            "an id instead of a query",
            r#"{"extensions":{"persistedQuery":{"version":1,"sha256Hash":"00"}}}"#,
            "400 PERSISTED_QUERY_NOT_FOUND",
        ),
        (
            "a hash that nobody has sent",
            r#"{"extensions":{"persistedQuery":{"version":1,"sha256Hash":"0000000000000000000000000000000000000000000000000000000000000000"}}}"#,
            "400 PERSISTED_QUERY_NOT_FOUND",
        ),
        (
            "a hash that nobody has sent, as documentId",
            r#"{"documentId":"sha256:0000000000000000000000000000000000000000000000000000000000000000"}"#,
            "400 PERSISTED_QUERY_NOT_FOUND",
        ),
        (
            "the hash of another document",
            r#"{"query":"{__typename}","documentId":"sha256:0000000000000000000000000000000000000000000000000000000000000000"}"#,
            BAD,
        ),
        (
            "a hash of another kind",
            r#"{"extensions":{"persistedQuery":{"version":2,"sha256Hash":"0000000000000000000000000000000000000000000000000000000000000000"}}}"#,
            BAD,
        ),
        (
            "a document's id of somebody's own",
            r#"{"documentId":"ECHO-ME-NOT"}"#,
            "400 PERSISTED_QUERY_NOT_FOUND",
        ),
        (
            "an id of Redis's commands",
            r#"{"documentId":"x\r\nFLUSHALL\r\n"}"#,
            "400 PERSISTED_QUERY_NOT_FOUND",
        ),
        (
            "an id of somebody's own beside a document",
            r#"{"query":"{__typename}","documentId":"x"}"#,
            BAD,
        ),
        ("an empty id of a document", r#"{"documentId":""}"#, BAD),
        ("a number for a document's id", r#"{"documentId":7}"#, BAD),
        ("a list for a document's id", r#"{"documentId":["home"]}"#, BAD),
        (
            "a hash of letters that are none",
            r#"{"documentId":"sha256:zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"}"#,
            BAD,
        ),
        ("a text for persistedQuery", r#"{"extensions":{"persistedQuery":"x"}}"#, BAD),
        (
            "a number for a hash",
            r#"{"extensions":{"persistedQuery":{"version":1,"sha256Hash":0}}}"#,
            BAD,
        ),
    ])
}

fn broken() -> Vec<Body> {
    let mut all = of([
        ("half an object", r#"{"query":"{__typename}""#, BAD),
        ("half a text", r#"{"query":"{__typena"#, BAD),
        ("a comma too many", r#"{"query":"{__typename}",}"#, BAD),
        ("something behind it", r#"{"query":"{__typename}"}x"#, BAD),
        ("two objects", r#"{"query":"{__typename}"}{"query":"{__typename}"}"#, BAD),
        ("single quotes", "{'query':'{__typename}'}", BAD),
        ("no quotes", r#"{query:"{__typename}"}"#, BAD),
        ("a comment", r#"{"query":"{__typename}"/* */}"#, BAD),
        ("NaN", r#"{"query":"{__typename}","variables":{"a":NaN}}"#, BAD),
        ("a number that is not finite", r#"{"query":"{__typename}","variables":{"a":1e400}}"#, BAD),
        ("a number that starts with 0", r#"{"query":"{__typename}","variables":{"a":01}}"#, BAD),
        ("a raw line break in a text", "{\"query\":\"{__typename}\n\"}", BAD),
        ("a lone surrogate in the query", r#"{"query":"{__typename} # \ud800"}"#, BAD),
        (
            "a lone surrogate in a variable",
            r#"{"query":"{__typename}","variables":{"a":"\udc00"}}"#,
            BAD,
        ),
        ("a lone surrogate where nobody reads", r#"{"query":"{__typename}","x":"\ud800"}"#, BAD),
        ("a lone surrogate in a name", r#"{"query":"{__typename}","variables":{"\ud800":1}}"#, BAD),
        ("a byte order mark", "\u{feff}{\"query\":\"{__typename}\"}", BAD),
        ("NUL behind it", "{\"query\":\"{__typename}\"}\0", BAD),
    ]);
    let utf16: Vec<u8> = GOOD.encode_utf16().flat_map(u16::to_le_bytes).collect();
    all.push(("UTF-16", utf16, BAD));
    all.push(("a byte that is no UTF-8", b"{\"query\":\"{__typename} # \xff\"}".to_vec(), BAD));
    let unread = b"{\"query\":\"{__typename}\",\"x\":\"\xff\"}".to_vec();
    all.push(("a byte that is no UTF-8 where nobody reads", unread, BAD));
    all.push(("an overlong slash", b"{\"query\":\"{__typename} # \xc0\xaf\"}".to_vec(), BAD));
    all.push(("gzip", b"\x1f\x8b\x08\0\0\0\0\0\0\x03\xabV*,M-\xaaT\x02".to_vec(), BAD));
    all
}

/// What stands there twice, one reader takes for the first and another for the last.
fn repeated() -> Vec<Body> {
    of([
        ("two queries", r#"{"query":"{__typename}","query":"{me{id}}"}"#, BAD),
        (
            "two operationNames",
            r#"{"query":"query a{__typename}","operationName":"a","operationName":"b"}"#,
            BAD,
        ),
        ("variables twice", r#"{"query":"{__typename}","variables":{},"variables":{}}"#, BAD),
        (
            "a variable twice",
            r#"{"query":"query($n:Int){concerts(first:$n){nodes{id}}}","variables":{"n":1,"n":2}}"#,
            BAD,
        ),
        (
            "an input's field twice",
            r#"{"query":"{__typename}","variables":{"input":{"amount":1,"amount":2}}}"#,
            BAD,
        ),
        (
            "a field twice in a list, once escaped",
            r#"{"query":"{__typename}","variables":{"a":[{"b":[{"c":1,"\u0063":2}]}]}}"#,
            BAD,
        ),
        ("a member that nobody asked for twice", r#"{"query":"{__typename}","a":1,"a":2}"#, BAD),
        ("an extension twice", r#"{"query":"{__typename}","extensions":{"a":1,"a":2}}"#, BAD),
    ])
}

fn sizes() -> Vec<Body> {
    let variables = |value: &str| {
        format!(r#"{{"query":"{{__typename}}","variables":{{"a":{value}}}}}"#).into_bytes()
    };
    let nested = |times: usize| variables(&format!("{}{}", "[".repeat(times), "]".repeat(times)));
    let objects = format!("{}1{}", "{\"a\":".repeat(200), "}".repeat(200));
    let long = |bytes: usize| {
        let query = json!({ "query": "{__typename}", "variables": { "a": "x".repeat(bytes) } });
        query.to_string().into_bytes()
    };
    vec![
        ("200 lists in each other", nested(200), BAD),
        ("30,000 lists in each other", nested(30_000), BAD),
        ("200 objects in each other", variables(&objects), BAD),
        ("4,001 values", variables(&format!("[{}0]", "0,".repeat(4_000))), BAD),
        ("60 KiB in one variable", long(60 * 1024), OK),
        ("more than 64 KiB", long(64 * 1024), "413 BAD_REQUEST"),
        ("half a megabyte of brackets", vec![b'['; 512 * 1024], "413 BAD_REQUEST"),
    ]
}

fn media() -> Vec<Row> {
    const UNSUPPORTED: &str = "415 BAD_REQUEST";
    let typed = |value: &str| Http::post(GOOD).with("content-type", value);
    let form = "query=%7B__typename%7D";
    let upload = "--x\r\ncontent-disposition: form-data; name=\"operations\"\r\n\r\n{\"query\":\"{__typename}\"}\r\n--x--\r\n";
    let sent = [
        ("none", Http::post(GOOD).without("content-type"), UNSUPPORTED),
        ("an empty one", typed(""), UNSUPPORTED),
        ("text", typed("text/plain"), UNSUPPORTED),
        ("the document itself", typed("application/graphql").body("{__typename}"), UNSUPPORTED),
        ("a form", typed("application/x-www-form-urlencoded").body(form), UNSUPPORTED),
        ("an upload", typed("multipart/form-data; boundary=x").body(upload), UNSUPPORTED),
        (
            "an upload that nothing preflights",
            typed("multipart/form-data; boundary=x").header("graphql-preflight: 1").body(upload),
            UNSUPPORTED,
        ),
        ("another JSON", typed("application/json-patch+json"), UNSUPPORTED),
        ("two in one", typed("application/json, text/plain"), UNSUPPORTED),
        ("UTF-16", typed("application/json; charset=utf-16"), UNSUPPORTED),
        ("two charsets", typed("application/json; charset=utf-8; charset=utf-16"), UNSUPPORTED),
        ("bytes that are no text", typed("application/json\u{e9}"), UNSUPPORTED),
        ("twice", Http::post(GOOD).header("content-type: application/json"), BAD),
        ("twice, differently", Http::post(GOOD).header("content-type: text/plain"), BAD),
        ("gzip", Http::post(GOOD).header("content-encoding: gzip"), UNSUPPORTED),
        (
            "an unknown coding",
            Http::post(GOOD).header("content-encoding: ECHO-ME-NOT"),
            UNSUPPORTED,
        ),
        (
            "a coding that is none",
            Http::post(GOOD).header("content-encoding: identity"),
            UNSUPPORTED,
        ),
        (
            "two codings",
            Http::post(GOOD).header("content-encoding: br").header("content-encoding: gzip"),
            BAD,
        ),
    ];
    sent.map(|(name, sent, expected)| row(format!("a media type: {name}"), sent, expected)).into()
}

fn negotiation() -> Vec<Row> {
    let accepting = |value: &str| Http::post(GOOD).with("accept", value);
    let sent = [
        ("a page", accepting("text/html"), "406 BAD_REQUEST"),
        ("events", accepting("text/event-stream"), "200 event:"),
        (
            "events of another charset",
            accepting("text/event-stream; charset=latin1"),
            "406 BAD_REQUEST",
        ),
        ("events that are not wanted", accepting("text/event-stream;q=0"), "406 BAD_REQUEST"),
        ("parts", accepting("multipart/mixed"), "406 BAD_REQUEST"),
        ("none of both", accepting("application/json;q=0"), "406 BAD_REQUEST"),
        ("nonsense", accepting(";;,,;q=ECHO-ME-NOT"), "406 BAD_REQUEST"),
        ("another charset", accepting("application/json; charset=latin1"), "406 BAD_REQUEST"),
        ("a thousand types", accepting(&"a/b,".repeat(1_000)), "406 BAD_REQUEST"),
        ("anything", accepting("*/*"), OK),
        ("nothing", accepting(""), OK),
    ];
    sent.map(|(name, sent, expected)| row(format!("wanted: {name}"), sent, expected)).into()
}

fn methods() -> Vec<Row> {
    let not_allowed = "405 BAD_REQUEST";
    let mut rows: Vec<Row> = [
        ("PUT /graphql HTTP/1.1", not_allowed),
        ("DELETE /graphql HTTP/1.1", not_allowed),
        ("PATCH /graphql HTTP/1.1", not_allowed),
        ("OPTIONS /graphql HTTP/1.1", not_allowed),
        ("TRACE /graphql HTTP/1.1", not_allowed),
        ("post /graphql HTTP/1.1", not_allowed),
        ("ECHO-ME-NOT /graphql HTTP/1.1", not_allowed),
        ("POST /health/live HTTP/1.1", not_allowed),
        ("DELETE /health/ready HTTP/1.1", not_allowed),
        ("PUT /metrics HTTP/1.1", not_allowed),
        ("POST /graphiql HTTP/1.1", not_allowed),
        ("HEAD /graphql HTTP/1.1", "400"),
        ("CONNECT /graphql HTTP/1.1", not_allowed),
        ("CONNECT tickets.example:443 HTTP/1.1", "404 NOT_FOUND"),
    ]
    .map(|(line, expected)| row(format!("a method: {line}"), Http::new(line), expected))
    .into();
    let body =
        Http::new("GET /graphql HTTP/1.1").header("content-type: application/json").body(GOOD);
    rows.push(row("a method: GET with a body", Sent::from(body), BAD));
    rows
}
