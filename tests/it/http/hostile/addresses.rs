//! Queries of addresses: what GET must not do, what is no parameter, what stands there twice.

use super::{
    asking::{Http, Row, row},
    scene::Scene,
};

const BAD: &str = "400 BAD_REQUEST";
const OK: &str = "200 ok";
const BY_POST: &str = "405 BAD_REQUEST";

pub(super) fn rows(scene: &Scene) -> Vec<Row> {
    let all = parameters().into_iter().chain(changes(scene));
    all.map(|(name, query, expected)| row(format!("an address: {name}"), get(&query), expected))
        .chain(sessions(scene))
        .collect()
}

fn get(query: &str) -> Http {
    Http::new(&format!("GET /graphql?{query} HTTP/1.1"))
        .header("accept: application/graphql-response+json")
}

type Address = (&'static str, String, &'static str);

fn parameters() -> Vec<Address> {
    let deep = "%5B".repeat(2_000);
    let many = format!("query={{__typename}}&variables=[{}0]", "0,".repeat(4_100));
    let mut all: Vec<Address> = [
        ("nothing", "", BAD),
        ("a question mark more", "?query={__typename}", BAD),
        ("an empty document", "query=", BAD),
        ("a name alone", "query", BAD),
        ("in capital letters", "QUERY={__typename}", BAD),
        ("the document alone", "{__typename}", BAD),
        ("two documents", "query={__typename}&query={__typename}", BAD),
        ("two documents, one in disguise", "query={__typename}&%71uer%79={me{id}}", BAD),
        ("two names", "query={__typename}&operationName=a&operationName=a", BAD),
        ("half an escape", "query={__typename}%", BAD),
        ("an escape of other letters", "query={__typename}%ZZ", BAD),
        ("bytes that are no text", "query={__typename}%ff%fe", BAD),
        ("NUL", "query={__typename}%00", BAD),
        ("a list for variables", "query={__typename}&variables=[]", BAD),
        ("a text for variables", "query={__typename}&variables=%22{}%22", BAD),
        ("variables that break off", "query={__typename}&variables={%22a%22:", BAD),
        ("a variable twice", "query={__typename}&variables={%22a%22:1,%22a%22:2}", BAD),
        ("a list for extensions", "query={__typename}&extensions=[]", BAD),
        ("an empty id of a document", "documentId=", BAD),
        ("two ids of documents", "documentId=a&documentId=b", BAD),
        (
            "an id of a document that nobody knows",
            "documentId=..%2f..%2fetc%2fpasswd",
            "400 PERSISTED_QUERY_NOT_FOUND",
        ),
        ("a hash that breaks off", "extensions={%22persistedQuery%22:{%22version%22:1", BAD),
        ("a document that is none", "query={", BAD),
        ("an operation that is not there", "query=query+a{__typename}&operationName=b", BAD),
        ("parameters of others", "op=ECHO-ME-NOT&a[]=1&=&&query={__typename}&%ff=%ff", OK),
        ("empty parameters", "query={__typename}&variables=&operationName=&extensions=", OK),
        ("spaces as pluses", "query=query+{+__typename+}", OK),
    ]
    .map(|(name, query, expected)| (name, query.to_owned(), expected))
    .into();
    all.push((
        "variables that nest without end",
        format!("query={{__typename}}&variables={deep}"),
        BAD,
    ));
    all.push(("variables without end", many, BAD));
    let large = format!("query={{concerts(first:100){{nodes{{{}}}}}}}", "id+".repeat(90));
    all.push(("a page that is too large", large, "400 QUERY_TOO_COMPLEX"));
    all
}

/// Nobody's state is changed by an address, whoever sends it.
fn changes(scene: &Scene) -> Vec<Address> {
    let charge = "mutation{charge(input:{amount:1,idempotencyKey:%22get%22}){balance}}";
    let chosen = format!(
        "query=query+a{{__typename}}{}&operationName=b",
        charge.replace("mutation", "mutation+b")
    );
    let hidden = format!("query={charge}&method=POST&_method=POST");
    let token = format!(
        "query=mutation{{refreshSession(input:{{refreshToken:%22{}%22}}){{userErrors{{code}}}}}}",
        scene.refresh_token
    );
    vec![
        ("a mutation", format!("query={charge}"), BY_POST),
        ("a mutation that is chosen", chosen, BY_POST),
        ("a mutation that calls itself another method", hidden, BY_POST),
        ("a mutation that brings its own proof", token, BY_POST),
        ("a subscription", "query=subscription{reservationChanges{id}}".to_owned(), BY_POST),
        (
            "two mutations",
            "query=mutation{a:logOut{userErrors{code}}b:logOut{userErrors{code}}}".to_owned(),
            BAD,
        ),
    ]
}

fn sessions(scene: &Scene) -> Vec<Row> {
    let me = || get("query={me{id}}");
    let token = scene.session();
    [
        ("nobody's", me(), "200 UNAUTHENTICATED"),
        ("somebody's", me().of(token), OK),
        ("none", me().of("x"), "401 UNAUTHENTICATED"),
        (
            "in the query",
            get(&format!("query={{me{{id}}}}&authorization=Bearer+{token}&access_token={token}")),
            "200 UNAUTHENTICATED",
        ),
        (
            "in a cookie",
            me().header(format!("cookie: access_token={token}")),
            "200 UNAUTHENTICATED",
        ),
        (
            "a mutation in a session",
            get("query=mutation{logOut{userErrors{code}}}").of(token),
            BY_POST,
        ),
        (
            "a mutation from a page elsewhere",
            get("query=mutation{logOut{userErrors{code}}}")
                .of(token)
                .header("origin: https://evil.example"),
            BY_POST,
        ),
    ]
    .map(|(name, sent, expected)| row(format!("an address in a session: {name}"), sent, expected))
    .into()
}
