//! Documents: too large, too deep, in circles, not the language, and questions about the schema that never end.

use serde_json::json;

use super::{
    asking::{Http, Row, row},
    scene::Scene,
};

const BAD: &str = "400 BAD_REQUEST";
/// What only the field itself can refuse: it is an error of the answer then.
const REFUSED: &str = "200 BAD_REQUEST";
const TOO_COMPLEX: &str = "400 QUERY_TOO_COMPLEX";
const OK: &str = "200 ok";

pub(super) fn rows(scene: &Scene) -> Vec<Row> {
    let all = malformed().into_iter().chain(fragments()).chain(large()).chain(invalid());
    let all = all.chain(texts()).chain(introspection()).chain(operations());
    all.map(|(name, query, expected)| {
        let sent = Http::document(&query, &json!({})).of(scene.session());
        row(format!("a document: {name}"), sent, expected)
    })
    .collect()
}

/// A name, the document, and what is answered.
type Document = (&'static str, String, &'static str);

fn of<const N: usize>(list: [(&'static str, &str, &'static str); N]) -> Vec<Document> {
    list.map(|(name, query, expected)| (name, query.to_owned(), expected)).into()
}

fn malformed() -> Vec<Document> {
    of([
        ("nothing", "", BAD),
        ("white space and commas", " ,,\t\r\n,", BAD),
        ("a comment alone", "# {__typename}", BAD),
        ("a brace", "{", BAD),
        ("a brace too many", "{__typename}}", BAD),
        ("an empty selection", "{}", BAD),
        ("an empty selection inside", "{me{}}", BAD),
        ("two operations without names", "{__typename}{__typename}", BAD),
        ("one with a name and one without", "{__typename} query a{__typename}", BAD),
        ("two operations of one name", "query a{__typename} query a{__typename}", BAD),
        ("a type", "type Query{a:Int}", BAD),
        ("a type beside a query", "{__typename} type Query{a:Int}", BAD),
        ("an extension of the schema", "extend type Mutation{a:Int}", BAD),
        ("NUL between tokens", "{__typename\0}", BAD),
        ("a control character", "{__typename\u{1b}}", BAD),
        ("text from right to left", "{\u{202e}__typename}", BAD),
        ("a name of another script", "{ⅿe{id}}", BAD),
        ("an emoji for a name", "{🎫}", BAD),
        ("a byte order mark, which counts as white space", "\u{feff}{__typename}", OK),
        ("a byte order mark inside of a name", "{__type\u{feff}name}", BAD),
        ("two dots", "{..on Query{__typename}}", BAD),
        ("a number that starts with 0", "{concerts(first:01){nodes{id}}}", BAD),
        ("a number in hexadecimal", "{concerts(first:0x1){nodes{id}}}", BAD),
        ("a number that goes on as a name", "{concerts(first:1a){nodes{id}}}", BAD),
        ("a number that is not finite", "{concerts(first:1e999){nodes{id}}}", BAD),
        ("a text that is not closed", "{concerts(search:\"a){nodes{id}}}", BAD),
        ("a text that goes over lines", "{concerts(search:\"a\nb\"){nodes{id}}}", BAD),
        (
            "a block of text that is not closed",
            "{concerts(search:\"\"\"a\\\"\"\"){nodes{id}}}",
            BAD,
        ),
        ("an unknown escape", r#"{concerts(search:"\x41"){nodes{id}}}"#, BAD),
        ("half an escape", r#"{concerts(search:"\u00"){nodes{id}}}"#, BAD),
        ("the first half of a letter", r#"{concerts(search:"\ud83c"){nodes{id}}}"#, BAD),
        ("the second half of a letter", r#"{concerts(search:"\udfab"){nodes{id}}}"#, BAD),
        (
            "the halves of a letter the wrong way round",
            r#"{concerts(search:"\udfab\ud83c"){nodes{id}}}"#,
            BAD,
        ),
        ("half a letter in braces", r#"{concerts(search:"\u{d83c}"){nodes{id}}}"#, BAD),
        (
            "the halves of a letter in braces",
            r#"{concerts(search:"\u{d83c}\u{dfab}"){nodes{id}}}"#,
            BAD,
        ),
        ("a letter beyond all", r#"{concerts(search:"\u{110000}"){nodes{id}}}"#, BAD),
        ("a letter without a number", r#"{concerts(search:"\u{}"){nodes{id}}}"#, BAD),
        ("braces that do not close", r#"{concerts(search:"\u{1f3ab"){nodes{id}}}"#, BAD),
        ("a backslash at the end of all", r#"{concerts(search:"\u{1f3ab}\"#, BAD),
        ("a whole number with a fraction", "{concerts(first:1.0){nodes{id}}}", BAD),
        ("a whole number with an exponent", "{concerts(first:1e1){nodes{id}}}", BAD),
    ])
}

fn fragments() -> Vec<Document> {
    let mut all = of([
        ("a fragment alone", "fragment f on Query{__typename}", BAD),
        ("a fragment that nobody spreads", "{__typename} fragment f on Query{__typename}", BAD),
        ("a fragment that is not there", "{...f}", BAD),
        ("a fragment that spreads itself", "{...f} fragment f on Query{...f}", BAD),
        (
            "a fragment that spreads itself further down",
            "{...f} fragment f on Query{me{...{id}} ...{...f}}",
            BAD,
        ),
        ("a circle of two", "{...f} fragment f on Query{...g} fragment g on Query{...f}", BAD),
        (
            "a circle of three that nobody spreads",
            "{__typename} fragment f on Query{...g} fragment g on Query{...h} fragment h on Query{...f}",
            BAD,
        ),
        (
            "a fragment named on, which is a name here",
            "{...on} fragment on on Query{__typename}",
            OK,
        ),
        (
            "two fragments of one name",
            "{...f} fragment f on Query{__typename} fragment f on Query{me{id}}",
            BAD,
        ),
        ("a fragment on nothing", "{...f} fragment f on Nothing{a}", BAD),
        ("a fragment on a scalar", "{...f} fragment f on String{a}", BAD),
        ("a fragment on an input", "{...f} fragment f on ChargeInput{amount}", BAD),
        ("a fragment that can never apply", "{...on Concert{id}}", BAD),
        ("a circle in a mutation", "mutation{...f} fragment f on Mutation{...f}", BAD),
    ]);
    let mut bomb = "{...f0}".to_owned();
    for level in 0..26 {
        bomb += &format!("fragment f{level} on Query{{...f{n} ...f{n}}}", n = level + 1);
    }
    all.push(("2^26 fields", format!("{bomb}fragment f26 on Query{{__typename}}"), TOO_COMPLEX));
    let chain: String =
        (0..60).map(|n| format!("fragment f{n} on Query{{...f{}}}", n + 1)).collect();
    all.push((
        "a chain of 60",
        format!("{{...f0}}{chain}fragment f60 on Query{{__typename}}"),
        TOO_COMPLEX,
    ));
    all
}

fn large() -> Vec<Document> {
    let nested = |open: &str, times: usize, inside: &str| {
        format!("{{{}{inside}{}}}", open.repeat(times), "}".repeat(times))
    };
    let lists = |times: usize| {
        let (open, close) = ("[".repeat(times), "]".repeat(times));
        format!("{{reservations(status:{open}HOLD{close}){{nodes{{id}}}}}}")
    };
    let circle = |times: usize| {
        let open = "concert{schedules{".repeat(times);
        format!("{{schedule(id:\"x\"){{{open}id{}}}}}", "}}".repeat(times))
    };
    let mut all = vec![
        ("17 levels of fields", circle(8), TOO_COMPLEX),
        ("5,000 levels of fields", nested("me{", 5_000, "id"), TOO_COMPLEX),
        ("33 levels of selections", nested("...{", 33, "__typename"), TOO_COMPLEX),
        ("61 brackets", lists(61), TOO_COMPLEX),
        ("5,000 brackets", lists(5_000), TOO_COMPLEX),
        ("brackets of all kinds", "{a(b:[{c:[".repeat(20), TOO_COMPLEX),
        ("1,001 selections", format!("{{{}}}", "__typename ".repeat(1_001)), TOO_COMPLEX),
        ("2,001 tokens", format!("{{{}}}", "a:b ".repeat(700)), TOO_COMPLEX),
        ("more than 16 KiB", format!("{{__typename}} # {}", "x".repeat(16 * 1024)), TOO_COMPLEX),
        (
            "more than 16 KiB of white space",
            format!("{{__typename{}}}", ",".repeat(16 * 1024)),
            TOO_COMPLEX,
        ),
        ("a name of 129 letters", format!("{{{}:__typename}}", "a".repeat(129)), TOO_COMPLEX),
        (
            "a number of 5,000 digits",
            format!("{{concerts(first:{}){{nodes{{id}}}}}}", "9".repeat(5_000)),
            TOO_COMPLEX,
        ),
        ("51 directives", format!("{{__typename {}}}", "@skip(if:false)".repeat(51)), TOO_COMPLEX),
        (
            "ten times a hundred concerts",
            format!(
                "{{{}}}",
                (0..10)
                    .map(|n| format!("a{n}:concerts(first:100){{nodes{{id}}}}"))
                    .collect::<String>()
            ),
            TOO_COMPLEX,
        ),
        (
            "four searches",
            format!(
                "{{{}}}",
                (0..4)
                    .map(|n| format!("a{n}:concerts(first:1,search:\"a\"){{nodes{{id}}}}"))
                    .collect::<String>()
            ),
            TOO_COMPLEX,
        ),
    ];
    for (name, count, expected) in [("31 aliases", 31, TOO_COMPLEX), ("30 aliases", 30, OK)] {
        let aliases: String = (0..count).map(|n| format!("a{n}:__typename ")).collect();
        all.push((name, format!("{{{aliases}}}"), expected));
    }
    all
}

fn invalid() -> Vec<Document> {
    of([
        ("an unknown field", "{nothing}", BAD),
        ("an unknown field of a type", "{me{password}}", BAD),
        ("a field of another person's kind", "{me{passwordHash}}", BAD),
        ("a federation's question", "{_service{sdl}}", BAD),
        ("a federation's entities", "{_entities(representations:[]){__typename}}", BAD),
        ("an unknown argument", "{concert(id:\"x\",all:true){id}}", BAD),
        ("an argument twice", "{concert(id:\"x\",id:\"y\"){id}}", BAD),
        ("a missing argument", "{concert{id}}", BAD),
        ("null for what may not be", "{concert(id:null){id}}", BAD),
        ("a selection on a scalar", "{balance{value}}", BAD),
        ("no selection on an object", "{me}", BAD),
        ("two things under one key", "{a:__typename a:balance}", BAD),
        (
            "one key with other arguments",
            "{concerts(first:1){nodes{id}} concerts(first:2){nodes{id}}}",
            BAD,
        ),
        (
            "an input's field twice",
            "mutation{charge(input:{amount:20000000,amount:20000001,idempotencyKey:\"k\"}){balance userErrors{code}}}",
            BAD,
        ),
        (
            "a field twice inside of a list",
            "mutation($s:[SectionInput!]=[{name:\"a\",grade:\"R\",price:1,rows:1,rows:2,seatsPerRow:1}]){__typename}",
            BAD,
        ),
        (
            "an input's unknown field",
            "mutation{charge(input:{amount:1,idempotencyKey:\"k\",free:true}){balance}}",
            BAD,
        ),
        ("a variable that is not declared", "{concert(id:$id){id}}", BAD),
        ("a variable that is not used", "query($id:ID){__typename}", BAD),
        ("a variable twice", "query($id:ID!,$id:ID!){concert(id:$id){id}}", BAD),
        ("a variable of no type", "query($id:Nothing){concert(id:$id){id}}", BAD),
        ("a variable of an object", "query($id:Concert){concert(id:$id){id}}", BAD),
        ("a variable of another type", "query($id:Int!){concert(id:$id){id}}", BAD),
        ("a variable that may be null", "query($id:ID){concert(id:$id){id}}", BAD),
        ("a default of another type", "query($n:Int=\"a\"){concerts(first:$n){nodes{id}}}", BAD),
        (
            "a variable as a default",
            "query($n:Int=1,$m:Int=$n){concerts(first:$m){nodes{id}}}",
            BAD,
        ),
        ("a variable without a value", "query($id:ID!){concert(id:$id){id}}", BAD),
        ("an unknown directive", "{balance @hack}", BAD),
        ("a directive without its argument", "{balance @skip}", BAD),
        ("a directive with another argument", "{balance @skip(if:1)}", BAD),
        ("a directive twice", "{balance @skip(if:false) @skip(if:true)}", BAD),
        ("a directive where it may not be", "query @skip(if:false){__typename}", BAD),
        ("a directive of the schema", "{balance @deprecated}", BAD),
        ("an unknown word of an enum", "{reservations(status:[SOLD]){nodes{id}}}", BAD),
        ("too large an Int", "{concerts(first:2147483648){nodes{id}}}", BAD),
        ("far too large an Int", "{concerts(first:99999999999999999999){nodes{id}}}", BAD),
        ("a fraction for an Int", "{concerts(first:1.5){nodes{id}}}", BAD),
        ("a text for an Int", "{concerts(first:\"1\"){nodes{id}}}", BAD),
        ("a page of 101", "{concerts(first:101){nodes{id}}}", REFUSED),
        ("a page of -1", "{concerts(first:-1){nodes{id}}}", REFUSED),
        ("a page of the least there is", "{concerts(first:-2147483648){nodes{id}}}", REFUSED),
    ])
}

fn texts() -> Vec<Document> {
    let search = |text: &str| format!("{{concerts(search:{text}){{nodes{{id}}}}}}");
    vec![
        ("quotes for SQL", search(r#""'; DROP TABLE person; --""#), OK),
        ("wildcards for SQL", search(r#""%_\\%""#), OK),
        ("a number of a parameter", search(r#""$1""#), OK),
        ("a block of text with quotes", search(r#""""a \""" b""""#), OK),
        ("a letter in halves", search(r#""\ud83c\udfab""#), OK),
        ("a letter in braces", search(r#""\u{1f3ab}""#), OK),
        ("a quote in braces", search(r#""\u{22}){nodes{id}}me{id}#""#), OK),
        (
            "1,500 letters in braces",
            search(&format!("\"{}\"", r"\u{1f3ab}".repeat(1_500))),
            REFUSED,
        ),
        ("a letter with 10,000 zeros", search(&format!("\"\\u{{{}61}}\"", "0".repeat(10_000))), OK),
        ("NUL in a text", search(r#""a\u0000b""#), REFUSED),
        ("NUL in braces", search(r#""a\u{0}b""#), REFUSED),
        ("a line break in a search", search(r#""a\nb""#), REFUSED),
        ("101 letters to search for", search(&format!("\"{}\"", "a".repeat(101))), REFUSED),
        ("a text of 15,000 letters", search(&format!("\"{}\"", "é".repeat(7_500))), REFUSED),
    ]
}

fn introspection() -> Vec<Document> {
    let circle = |times: usize| {
        format!(
            "{{__schema{{types{{{}name{}}}}}}}",
            "fields{type{".repeat(times),
            "}}".repeat(times)
        )
    };
    let types: String = (0..29)
        .map(|n| {
            format!(
                "a{n}:__type(name:\"Query\"){{fields{{name description args{{name description type{{name kind ofType{{name}}}}}}}}}}"
            )
        })
        .collect();
    vec![
        ("types of fields of types of fields, which soon end", circle(3), OK),
        ("the same as deep as it goes", circle(6), OK),
        ("29 times a type's fields", format!("{{{types}}}"), TOO_COMPLEX),
        ("a type without its name", "{__type{name}}".to_owned(), BAD),
        ("a type that is not there", "{__type(name:\"Secret\"){name}}".to_owned(), OK),
        ("the schema of a mutation", "mutation{__schema{description}}".to_owned(), BAD),
        ("what is inside of the library", "{__schema{_types}}".to_owned(), BAD),
    ]
}

fn operations() -> Vec<Document> {
    of([
        (
            "a mutation of two fields",
            "mutation{logOut{userErrors{code}} leaveQueue(scheduleId:\"x\"){userErrors{code}}}",
            BAD,
        ),
        (
            "one mutation twice",
            "mutation{a:logOut{userErrors{code}} b:logOut{userErrors{code}}}",
            BAD,
        ),
        (
            "a second field in a fragment",
            "mutation{logOut{userErrors{code}} ...f} fragment f on Mutation{b:logOut{userErrors{code}}}",
            BAD,
        ),
        (
            "a second field that is left out",
            "mutation{logOut{userErrors{code}} b:logOut @skip(if:true){userErrors{code}}}",
            BAD,
        ),
        ("a mutation that does nothing", "mutation{__typename}", OK),
        ("a subscription by POST", "subscription{reservationChanges{id}}", BAD),
        (
            "two subscriptions in one",
            "subscription{a:reservationChanges{id} b:reservationChanges{id}}",
            BAD,
        ),
        ("several operations and no name", "query a{__typename} query b{__typename}", BAD),
        (
            "a query for what mutates",
            "{charge(input:{amount:1,idempotencyKey:\"k\"}){balance}}",
            BAD,
        ),
    ])
}
