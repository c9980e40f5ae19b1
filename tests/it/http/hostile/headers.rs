//! Heads: headers that are missing, doubled, foreign, enormous or smuggled in; lines, paths and versions that are none.

use super::{
    asking::{Http, Row, Sent, handshake, row},
    scene::Scene,
};

const BAD: &str = "400 BAD_REQUEST";
const OK: &str = "200 ok";
const LIVE: &str = "200 live";
const NOWHERE: &str = "404 NOT_FOUND";
const GOOD: &str = r#"{"query":"{__typename}"}"#;

pub(super) fn rows(_: &Scene) -> Vec<Row> {
    [
        hosts(),
        lengths(),
        smuggled(),
        origins(),
        origins_of_sockets(),
        proxies(),
        odd(),
        sizes(),
        paths(),
        lines(),
        upgrades(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn live() -> Http {
    Http::new("GET /health/live HTTP/1.1")
}

fn good() -> Http {
    Http::post(GOOD)
}

fn of<const N: usize>(kind: &str, list: [(&str, Http, &str); N]) -> Vec<Row> {
    list.map(|(name, sent, expected)| row(format!("{kind}: {name}"), sent, expected)).into()
}

fn hosts() -> Vec<Row> {
    of(
        "a host",
        [
            ("none", live().without("host"), BAD),
            ("none for GraphQL", good().without("host"), BAD),
            ("two", live().header("host: evil.example"), BAD),
            ("two of one name", live().header("Host: tickets.example"), BAD),
            ("with a user", live().with("host", "tickets.example@evil.example"), BAD),
            ("with a path", live().with("host", "tickets.example/graphql"), BAD),
            ("with a space", live().with("host", "tickets.example evil.example"), BAD),
            ("a list", live().with("host", "tickets.example, evil.example"), BAD),
            ("with a port that is none", live().with("host", "tickets.example:port"), BAD),
            ("bytes that are no text", live().with("host", "t\u{ef}ckets"), BAD),
            ("quotes", live().with("host", "\"><script>ECHO-ME-NOT</script>"), BAD),
            ("a foreign one", live().with("host", "evil.example"), LIVE),
            ("a network address", live().with("host", "[::1]:8000"), LIVE),
            ("an empty one", live().with("host", ""), LIVE),
            ("none, in HTTP/1.0", Http::new("GET /health/live HTTP/1.0").without("host"), LIVE),
        ],
    )
}

fn lengths() -> Vec<Row> {
    let of_length = |length: &str| good().with("content-length", length);
    of(
        "a length",
        [
            ("a sign", of_length("+24"), "400"),
            ("negative", of_length("-1"), "400"),
            ("in hexadecimal", of_length("0x18"), "400"),
            ("a fraction", of_length("24.0"), "400"),
            ("a text", of_length("all"), "400"),
            ("nothing", of_length(""), "400"),
            ("two in one", of_length("24, 24"), "400"),
            ("beyond all numbers", of_length("99999999999999999999999"), "400"),
            ("two that differ", good().header("content-length: 25"), "400"),
            ("exabytes", of_length("9223372036854775807"), "413 BAD_REQUEST"),
            ("shorter than it is", of_length("5"), BAD),
            ("nothing at all", good().without("content-length"), BAD),
        ],
    )
}

/// What follows is what a proxy in front might take for another request: it is never answered as one.
fn smuggled() -> Vec<Row> {
    let another = "GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n";
    let keep = |http: Http| http.without("connection");
    let chunked = |body: &str, coding: &str| {
        let http =
            keep(good()).without("content-length").header(format!("transfer-encoding: {coding}"));
        [http.bytes().strip_suffix(GOOD.as_bytes()).expect("a body"), body.as_bytes()].concat()
    };
    let whole = format!("18\r\n{GOOD}\r\n0\r\n\r\n");
    let next = "0\r\n\r\nGET /health/live HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let both = |order: [&str; 2]| {
        let http = keep(good()).without("content-length").header(order[0]).header(order[1]);
        [
            http.bytes().strip_suffix(GOOD.as_bytes()).expect("a body"),
            whole.as_bytes(),
            another.as_bytes(),
        ]
        .concat()
    };
    let chunk = |size: &str| chunked(&format!("{size}\r\n{GOOD}\r\n0\r\n\r\n"), "chunked");
    let sent = [
        ("a length, then pieces", both(["content-length: 4", "transfer-encoding: chunked"]), OK),
        ("pieces, then a length", both(["transfer-encoding: chunked", "content-length: 4"]), OK),
        ("an unknown coding", chunked(&whole, "ECHO-ME-NOT"), "400"),
        ("a coding that looks like it", chunked(&whole, "xchunked"), "400"),
        ("a coding that is none", chunked(&whole, "identity"), "400"),
        ("pieces, and then another coding", chunked(&whole, "chunked, gzip"), "400"),
        (
            "another coding, and then pieces",
            chunked(&format!("{whole}{another}"), "gzip, chunked"),
            BAD,
        ),
        ("pieces twice", chunked(&format!("{whole}{another}"), "chunked, chunked"), BAD),
        (
            "codings in two lines",
            chunked(&format!("{whole}{another}"), "gzip\r\ntransfer-encoding: chunked"),
            BAD,
        ),
        ("a size that is no number", chunk("zz"), BAD),
        ("a negative size", chunk("-18"), BAD),
        ("a size with 0x", chunk("0x18"), BAD),
        ("a size beyond all numbers", chunk("fffffffffffffffff"), BAD),
        ("a size that is a lie", chunk("5"), BAD),
        ("a size with 20 KiB of extensions", chunk(&format!("18;{}", "a".repeat(20_000))), BAD),
        (
            "no pieces, and then another request, which is one",
            chunked(next, "chunked"),
            "400 BAD_REQUEST, 200 live",
        ),
    ];
    let mut rows: Vec<Row> = sent
        .map(|(name, bytes, expected)| {
            row(format!("smuggled: {name}"), Sent::Http(bytes), expected)
        })
        .into();
    let old = Http::new("POST /graphql HTTP/1.0").header("transfer-encoding: chunked");
    rows.push(row("smuggled: pieces in HTTP/1.0", old, "400"));
    rows
}

fn origins() -> Vec<Row> {
    let preflight = Http::new("OPTIONS /graphql HTTP/1.1")
        .header("origin: https://evil.example")
        .header("access-control-request-method: POST")
        .header("access-control-request-headers: authorization");
    of(
        "an origin",
        [
            // Whoever has the token may ask from anywhere; a browser's page is not let read the answer.
            ("foreign", good().header("origin: https://evil.example"), OK),
            ("null", good().header("origin: null"), OK),
            (
                "two",
                good().header("origin: https://a.example").header("origin: https://b.example"),
                BAD,
            ),
            ("asked before", preflight, "405 BAD_REQUEST"),
        ],
    )
}

fn origins_of_sockets() -> Vec<Row> {
    of(
        "an origin",
        [
            (
                "of a WebSocket, foreign",
                handshake("t.example").header("origin: https://evil.example"),
                "403 FORBIDDEN",
            ),
            (
                "of a WebSocket, null",
                handshake("t.example").header("origin: null"),
                "403 FORBIDDEN",
            ),
            (
                "of a WebSocket, a file",
                handshake("t.example").header("origin: file://"),
                "403 FORBIDDEN",
            ),
            ("of a WebSocket, empty", handshake("t.example").header("origin: "), "403 FORBIDDEN"),
            (
                "of a WebSocket, another port",
                handshake("t.example").header("origin: https://t.example:444"),
                "403 FORBIDDEN",
            ),
            (
                "of a WebSocket, ours and more",
                handshake("t.example").header("origin: https://t.example.evil.example"),
                "403 FORBIDDEN",
            ),
            (
                "of a WebSocket, ours as a user",
                handshake("t.example").header("origin: https://t.example@evil.example"),
                "403 FORBIDDEN",
            ),
            (
                "of a WebSocket, ours as a native client writes it, at another port",
                handshake("t.example").header("origin: wss://t.example:444"),
                "403 FORBIDDEN",
            ),
            (
                "of a WebSocket, ours with a path",
                handshake("t.example").header("origin: wss://t.example/graphql"),
                "403 FORBIDDEN",
            ),
            (
                "of a WebSocket, a port that is none",
                handshake("t.example").header("origin: https://t.example:+443"),
                "403 FORBIDDEN",
            ),
            (
                "of a WebSocket, a scheme alone",
                handshake("t.example").header("origin: wss://"),
                "403 FORBIDDEN",
            ),
            (
                "of a WebSocket, two",
                handshake("t.example")
                    .header("origin: http://t.example")
                    .header("origin: http://t.example"),
                BAD,
            ),
        ],
    )
}

fn proxies() -> Vec<Row> {
    let from = |value: &str| live().header(format!("x-forwarded-for: {value}"));
    of(
        "for somebody else",
        [
            ("nobody", from(""), LIVE),
            ("nonsense", from("ECHO-ME-NOT"), LIVE),
            ("SQL", from("1' OR '1'='1"), LIVE),
            ("a number too many", from("1.2.3.4.5"), LIVE),
            ("beyond bytes", from("999.999.999.999"), LIVE),
            ("5,000 commas", from(&",".repeat(5_000)), LIVE),
            ("a thousand addresses", from(&"10.0.0.1,".repeat(1_000)), LIVE),
            ("bytes that are no text", from("\u{fc}"), LIVE),
            ("a network of this host", from("::1"), LIVE),
            (
                "with other headers of the kind",
                live()
                    .header("forwarded: for=127.0.0.1;host=evil")
                    .header("x-real-ip: 127.0.0.1")
                    .header("x-forwarded-host: evil")
                    .header("x-original-url: /metrics"),
                LIVE,
            ),
        ],
    )
}

fn odd() -> Vec<Row> {
    of(
        "a header",
        [
            ("a name with a space", live().header("x y: z"), "400"),
            ("a space before the colon", live().header("host : evil.example"), "400"),
            ("no colon", live().header("nonsense"), "400"),
            ("no name", live().header(": z"), "400"),
            ("a name of other letters", live().header("x\u{e9}: z"), "400"),
            ("a name with brackets", live().header("x(y): z"), "400"),
            ("a second line of one", live().header("x: y\r\n z"), "400"),
            ("a second line of one, by a tab", live().header("x: y\r\n\tz"), "400"),
            ("a space before the first", Http::new("GET /health/live HTTP/1.1\r\n host: x"), "400"),
            ("NUL", live().header("x: a\0b"), "400"),
            ("a lone carriage return", live().header("x: a\rhost: evil"), "400"),
            (
                "an id that is a page",
                live().header("x-request-id: <script>ECHO-ME-NOT</script>"),
                LIVE,
            ),
            (
                "an id of 10 KiB",
                live().header(format!("x-request-id: {}", "ECHO-ME-NOT".repeat(900))),
                LIVE,
            ),
            ("an unknown expectation", good().header("expect: ECHO-ME-NOT"), OK),
            ("an expectation", good().header("expect: 100-continue"), "100, 200 ok"),
            (
                "an expectation of what is too large",
                good().header("expect: 100-continue").with("content-length", "70000"),
                "413 BAD_REQUEST",
            ),
            ("a range", live().header("range: bytes=0-0,0-0,0-0"), LIVE),
            (
                "another protocol",
                live().header("upgrade: h2c").header("http2-settings: AAMAAABkAARAAAAAAAIAAAAA"),
                LIVE,
            ),
            ("another method", good().header("x-http-method-override: DELETE"), OK),
        ],
    )
}

fn sizes() -> Vec<Row> {
    let many = |count: usize| (0..count).fold(live(), |http, n| http.header(format!("x-{n}: y")));
    of(
        "a head",
        [
            ("99 headers", many(90), LIVE),
            ("200 headers", many(200), "431"),
            ("a header of 20 KiB", live().header(format!("x: {}", "y".repeat(20 * 1024))), "431"),
            ("a name of 20 KiB", live().header(format!("{}: y", "x".repeat(20 * 1024))), "431"),
            ("half a megabyte", live().header(format!("x: {}", "y".repeat(512 * 1024))), "431"),
            ("a cookie of 12 KiB", good().header(format!("cookie: {}", "a=b; ".repeat(2_400))), OK),
        ],
    )
}

fn paths() -> Vec<Row> {
    let long = "a".repeat(12 * 1024);
    let mut rows: Vec<Row> = [
        ("/graphql/", NOWHERE),
        ("//graphql", NOWHERE),
        ("/GraphQL", NOWHERE),
        ("/graphql/../metrics", NOWHERE),
        ("/graphql%00", NOWHERE),
        ("/%67raphql", NOWHERE),
        ("/graphiql/../../Cargo.toml", NOWHERE),
        ("/graphiql/..%2f..%2fCargo.toml", NOWHERE),
        ("/graphiql/%2e%2e/%2e%2e/etc/passwd", NOWHERE),
        ("/graphiql/%00.js", NOWHERE),
        ("/graphiql/%ff", NOWHERE),
        ("/.env", NOWHERE),
        ("/.git/config", NOWHERE),
        ("/wp-login.php", NOWHERE),
        ("/%zz", NOWHERE),
        ("/ECHO-ME-NOT?<script>ECHO-ME-NOT</script>", "400"),
        ("/'%20OR%201=1", NOWHERE),
        ("*", NOWHERE),
        ("http://evil.example/nowhere", NOWHERE),
        ("nowhere", NOWHERE),
        ("", "400"),
    ]
    .map(|(path, expected)| {
        row(format!("a path: {path}"), Http::new(&format!("GET {path} HTTP/1.1")), expected)
    })
    .into();
    rows.push(row("a path: of 12 KiB", Http::new(&format!("GET /{long} HTTP/1.1")), NOWHERE));
    rows.push(row(
        "a path: of 20 KiB",
        Http::new(&format!("GET /{} HTTP/1.1", "a".repeat(20 * 1024))),
        "431",
    ));
    rows.push(row(
        "a path: a question of 12 KiB",
        Http::new(&format!("GET /health/live?{long} HTTP/1.1")),
        LIVE,
    ));
    rows
}

fn lines() -> Vec<Row> {
    let ends = "\r\nhost: x\r\nconnection: close\r\n\r\n";
    let sent = [
        ("none", "\r\n\r\n\r\n".to_owned(), "408"),
        ("HTTP/0.9", "GET /health/live\r\n".to_owned(), "400"),
        ("HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), "closed"),
        ("HTTP/1.2", format!("GET /health/live HTTP/1.2{ends}"), "400"),
        ("HTTP/9", format!("GET /health/live HTTP/9.9{ends}"), "400"),
        ("another protocol", "SSH-2.0-OpenSSH_9.9\r\n".to_owned(), "400"),
        ("TLS", "\u{16}\u{3}\u{1}\0\u{5}\u{1}\0\0\u{1}\u{3}\u{3}".to_owned(), "400"),
        ("Redis", "*1\r\n$4\r\nPING\r\n".to_owned(), "400"),
        ("mail", "EHLO evil.example\r\nMAIL FROM:<a@b.c>\r\n".to_owned(), "400"),
        ("two spaces", format!("GET  /health/live HTTP/1.1{ends}"), "400"),
        ("a tab", format!("GET\t/health/live\tHTTP/1.1{ends}"), "400"),
        ("a space in the path", format!("GET /health/live ECHO-ME-NOT HTTP/1.1{ends}"), "400"),
        ("a method of signs", format!("G@T /health/live HTTP/1.1{ends}"), "400"),
        ("a method of 20 KiB", format!("{} / HTTP/1.1{ends}", "A".repeat(20 * 1024)), "431"),
        (
            "lines that end as on Unix",
            "GET /health/live HTTP/1.1\nhost: x\nconnection: close\n\n".to_owned(),
            LIVE,
        ),
        ("empty lines first", format!("\r\n\r\nGET /health/live HTTP/1.1{ends}"), LIVE),
    ];
    sent.map(|(name, text, expected)| row(format!("a line: {name}"), text.as_str(), expected))
        .into()
}

fn upgrades() -> Vec<Row> {
    let shake =
        || handshake("t.example").without("connection").header("connection: upgrade, close");
    of(
        "a handshake",
        [
            ("no key", shake().without("sec-websocket-key"), BAD),
            ("a short key", shake().with("sec-websocket-key", "c2hvcnQ="), BAD),
            ("a long key", shake().with("sec-websocket-key", &"A".repeat(4_000)), BAD),
            ("two keys", shake().header("sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ=="), BAD),
            ("no version", shake().without("sec-websocket-version"), BAD),
            ("an old version", shake().with("sec-websocket-version", "8"), BAD),
            ("several versions", shake().with("sec-websocket-version", "8, 13"), BAD),
            ("two versions", shake().header("sec-websocket-version: 13"), BAD),
            ("another upgrade", shake().with("upgrade", "h2c"), BAD),
            ("two upgrades", shake().header("upgrade: websocket"), BAD),
            ("no upgrade", shake().without("upgrade"), BAD),
            ("a connection that stays", handshake("t.example").with("connection", "close"), BAD),
            (
                "by POST",
                Http::new("POST /graphql HTTP/1.1")
                    .header("upgrade: websocket")
                    .header("sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==")
                    .header("sec-websocket-version: 13"),
                "415 BAD_REQUEST",
            ),
            (
                "two sessions",
                shake().header("authorization: Bearer a").header("authorization: Bearer b"),
                BAD,
            ),
            ("elsewhere", shake_at("/health/live"), LIVE),
            ("nowhere", shake_at("/subscriptions"), NOWHERE),
        ],
    )
}

fn shake_at(path: &str) -> Http {
    Http::new(&format!("GET {path} HTTP/1.1"))
        .header("upgrade: websocket")
        .header("sec-websocket-version: 13")
        .header("sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==")
}
