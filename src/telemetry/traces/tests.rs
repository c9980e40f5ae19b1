//! What can be seen without a collector. The rest is in tests/it/telemetry, of a process of its own.

use super::*;

#[tokio::test]
async fn without_a_collector_there_is_nothing() {
    let settings = TraceSettings {
        endpoint: TraceAddress::default(),
        headers: TraceHeaders::default(),
        service: "frontrow".to_owned(),
        ratio: 1.0,
    };
    assert!(start(&settings, &Metrics::new()).unwrap().is_none());
    let never = || -> String { unreachable!("nobody asks for a name") };
    let span = Span::of_request(never, None);
    assert!(!span.is_on() && !Span::part(never).is_on());
    assert!(Parent::read("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").is_none());
    assert_eq!(span.run(async { current_ids() }).await, None);
    assert!(!Span::of_group("group", [&span].into_iter()).is_on());
    drop(span.until_dropped());
}
