//! Documents that explode, by hand: each was made to get more out of the server than it costs to ask.

use super::{GRAPHQL_JS, scenery::Scenery};

/// What a document is, and the document.
type Document = (&'static str, String);

const ALL_OF_A_SEAT: &str = "id section row number grade price status version";

fn repeat(count: usize, field: impl Fn(usize) -> String) -> String {
    (0..count).map(|n| field(n) + " ").collect()
}

/// As long as a name may be.
fn long(n: usize) -> String {
    format!("{}{n}", "x".repeat(120))
}

/// `levels` pairs of fields around a name.
fn nest(levels: usize, outer: &str, inner: &str) -> String {
    format!("{}name{}", format!("{outer}{{{inner}{{").repeat(levels), "}}".repeat(levels))
}

/// Types by the fields of types, through whatever wraps them.
fn fields_of_types(levels: usize) -> String {
    let open = "fields{type{name ofType{name ofType{name ofType{name ".repeat(levels);
    open + &"}".repeat(5 * levels)
}

fn of(name: &str, set: &str) -> String {
    format!("{{__type(name:\"{name}\"){{{set}}}}}")
}

fn schema(set: &str) -> String {
    format!("{{__schema{{{set}}}}}")
}

/// Questions about the schema.
pub(super) fn introspections() -> Vec<Document> {
    let pairs = |levels| nest(levels, "interfaces", "possibleTypes");
    let types = "name fields{name type{name} args{name type{name}}}";
    let many = |n: usize| format!("a{n}:interfaces{{b{n}:possibleTypes{{{}}}}}", pairs(5));
    let directives = |n: usize| format!("a{n}:directives{{args{{type{{ofType{{{types}}}}}}}}}");
    let query = |n: usize| {
        format!("a{n}:__type(name:\"Query\"){{fields{{args{{type{{ofType{{{types}}}}}}}}}}}")
    };
    let input_fields = nest(5, "inputFields", "type");
    let twice_more =
        "a: __schema { types { ...FullType } } b: __schema { types { ...FullType } } __schema {";
    vec![
        ("interfaces and possible types", of("PayError", &pairs(7))),
        ("the same with aliases", of("PayError", &repeat(14, many))),
        ("fields of types of fields", of("Concert", &fields_of_types(2))),
        ("types by fields", schema(&format!("types{{{}}}", nest(5, "fields", "type")))),
        (
            "input fields",
            of("CreateScheduleInput", &format!("inputFields{{type{{ofType{{{input_fields}}}}}}}")),
        ),
        (
            "arguments",
            schema("types{fields{args{type{ofType{inputFields{type{name ofType{name}}}}}}}}"),
        ),
        ("directives' arguments", schema(&repeat(28, directives))),
        (
            "the whole schema by aliases",
            format!("{{{}}}", repeat(20, |n| format!("a{n}:__schema{{types{{{types}}}}}"))),
        ),
        ("types by aliases", format!("{{{}}}", repeat(30, query))),
        (
            "long aliases",
            schema(&format!("types{{fields{{{}}}}}", repeat(29, |n| long(n) + ":name"))),
        ),
        (
            "fragments",
            schema("types{...A}")
                + "fragment A on __Type{...B ...B ...B ...B ...B}"
                + "fragment B on __Type{...C ...C ...C ...C ...C}"
                + &format!("fragment C on __Type{{{types}}}"),
        ),
        ("the same field again", schema(&format!("types{{{}}}", "fields{type{name}}".repeat(100)))),
        (
            "descriptions",
            schema(&format!(
                "types{{{}}}",
                repeat(29, |n| format!("a{n}:description fields{{description}}"))
            )),
        ),
        (
            "a type by a variable's default",
            format!("query($n:String!=\"PayError\"){{__type(name:$n){{{}}}}}", pairs(7)),
        ),
        ("all of it three times", GRAPHQL_JS.replacen("__schema {", twice_more, 1)),
    ]
}

/// Questions about the shop.
pub(super) fn all(scenery: &Scenery) -> Vec<Document> {
    let mut documents = performances(scenery);
    documents.extend(halls(scenery));
    documents.extend(lists(scenery));
    documents
}

/// Performances inside of performances.
pub(super) fn performances(scenery: &Scenery) -> Vec<Document> {
    let nested = |levels: usize| {
        let open = "schedules(status: null) { concert { ".repeat(levels);
        let close = "} } ".repeat(levels);
        format!("{{ concert(id: \"{}\") {{ {open} id {close} }} }}", scenery.hall.concert_id)
    };
    vec![
        ("performances of performances, 2 deep", nested(2)),
        ("performances of performances, 3 deep", nested(3)),
        ("performances of performances, 6 deep", nested(6)),
    ]
}

fn halls(scenery: &Scenery) -> Vec<Document> {
    let seats = |fields: &str| {
        let (id, token) = (&scenery.hall.id, &scenery.fan.token);
        format!("seats(scheduleId: \"{id}\", queueToken: \"{token}\") {{ {fields} }}")
    };
    let (small, token) = &scenery.small;
    let small = format!(
        "seats(scheduleId: \"{}\", queueToken: \"{token}\") {{ {ALL_OF_A_SEAT} }}",
        small.id
    );
    let aliases = |count: usize, field: &str| {
        format!("{{ {} }}", repeat(count, |n| format!("a{n}: {field}")))
    };
    vec![
        ("a hall by aliases", aliases(30, &seats("id"))),
        ("a hall twice", aliases(2, &seats("id"))),
        ("a hall twice under one key", format!("{{ {} {} }}", seats("id"), seats("status"))),
        ("a small hall by aliases", aliases(4, &small)),
        ("a small hall twice", aliases(2, &small)),
        ("a hall with fields again and again", format!("{{ {} }}", seats(&"id ".repeat(100)))),
        ("a hall with long aliases", format!("{{ {} }}", seats(&repeat(29, |n| long(n) + ": id")))),
    ]
}

fn lists(scenery: &Scenery) -> Vec<Document> {
    let schedules = |fields: String| {
        let id = &scenery.hall.concert_id;
        format!("{{ schedules(concertId: \"{id}\", status: null) {{ {fields} }} }}")
    };
    let concerts =
        |fields: String| format!("{{ concerts(first: 100) {{ nodes {{ {fields} }} }} }}");
    let search = |n: usize| format!("a{n}: concerts(search: \"{n}\") {{ nodes {{ id }} }}");
    let room = |n: usize| format!("a{n}: waitingRoom {{ b{n}: drawCommitment }}");
    vec![
        ("searches", format!("{{ {} }}", repeat(30, search))),
        ("long descriptions", concerts("description".to_owned())),
        (
            "long descriptions twice",
            "{ concerts(first: 15) { nodes { description } edges { node { description } } } }"
                .to_owned(),
        ),
        ("names of quotes", concerts(repeat(29, |n| format!("a{n}: artist")))),
        ("rooms of performances", schedules(repeat(14, room))),
        ("long aliases in a list", schedules(repeat(29, |n| long(n) + ": id"))),
        ("statements by aliases", format!("{{ {} }}", repeat(30, |n| format!("a{n}: balance")))),
        (
            "pages by aliases",
            format!(
                "{{ {} }}",
                repeat(30, |n| format!("a{n}: concerts(first: 100) {{ edges {{ cursor }} }}"))
            ),
        ),
        ("a long name of an operation", format!("query {} {{ me {{ id }} }}", "x".repeat(16_000))),
    ]
}
