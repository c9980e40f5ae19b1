//! What comes too slowly, or does not come to its end.

use super::{
    asking::{Http, Row, Sent, row},
    scene::Scene,
};

const GOOD: &str = r#"{"query":"{__typename}"}"#;

pub(super) fn rows(_: &Scene) -> Vec<Row> {
    let whole = Http::post(GOOD).bytes();
    let head = &whole[..whole.len() - GOOD.len()];
    let part = |bytes: usize| whole[..bytes].to_vec();
    let pieces = |body: &str| {
        let head = Http::post(GOOD).without("content-length").header("transfer-encoding: chunked");
        [head.bytes().strip_suffix(GOOD.as_bytes()).expect("a body"), body.as_bytes()].concat()
    };
    let endless = pieces(&format!("8000\r\n{}\r\n", " ".repeat(0x8000)).repeat(3));
    let kept = Http::new("GET /health/live HTTP/1.1").without("connection").bytes();
    let waiting = [
        ("nothing", Vec::new(), "closed"),
        ("a letter", b"P".to_vec(), "408"),
        ("half a line", part(10), "408"),
        ("half a head", part(60), "408"),
        ("a head without its last byte", head[..head.len() - 1].to_vec(), "408"),
        ("a head without its body", head.to_vec(), "408 BAD_REQUEST"),
        ("half a body", part(whole.len() - 5), "408 BAD_REQUEST"),
        ("half a piece", pieces("18\r\n{\"query\""), "408 BAD_REQUEST"),
        ("pieces without the last", pieces(&format!("18\r\n{GOOD}\r\n")), "408 BAD_REQUEST"),
        ("a size without its line", pieces("18"), "408 BAD_REQUEST"),
        ("pieces without end", endless, "413 BAD_REQUEST"),
        // It came with the first request, so the connection counts as idle.
        ("a request, and half a head with it", [kept, part(20)].concat(), "200 live"),
    ];
    let ended = [
        ("nothing", Vec::new(), "closed"),
        ("half a line", part(10), "closed"),
        ("half a head", part(60), "closed"),
        ("half a body", part(whole.len() - 5), "400 BAD_REQUEST"),
        ("half a piece", pieces("18\r\n{\"query\""), "400 BAD_REQUEST"),
    ];
    let waiting = waiting.map(|(name, bytes, expected)| {
        row(format!("unfinished: {name}"), Sent::Http(bytes), expected)
    });
    let ended = ended.map(|(name, bytes, expected)| {
        row(format!("broken off: {name}"), Sent::HttpToTheEnd(bytes), expected)
    });
    waiting.into_iter().chain(ended).collect()
}
