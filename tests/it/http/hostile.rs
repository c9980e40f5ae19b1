//! A table of what hostile clients send, and of what each is answered. Everything goes to one real server, byte by byte; nothing
//! of it may panic, show anything, or change anything.

mod addresses;
mod asking;
mod documents;
mod frames;
mod headers;
mod json_bodies;
mod messages;
mod raw;
mod scene;
mod tokens;
mod values;
mod webhooks;

use std::collections::BTreeSet;

use asking::Row;
use futures_util::{StreamExt, stream};
use scene::Scene;

/// Rows under way at once. Those that wait for a limit of time take no core.
const AT_ONCE: usize = 24;
/// What the table has at least.
const ROWS_MIN: usize = 400;

fn table(scene: &Scene) -> Vec<Row> {
    let parts = [
        documents::rows,
        json_bodies::rows,
        addresses::rows,
        values::rows,
        tokens::rows,
        headers::rows,
        raw::rows,
        frames::rows,
        messages::rows,
        webhooks::rows,
    ];
    parts.into_iter().flat_map(|rows| rows(scene)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_sent_is_answered_as_the_table_says_and_does_no_harm() {
    let scene = Scene::set().await;
    let rows = table(&scene);
    let names: BTreeSet<&str> = rows.iter().map(|row| row.name.as_str()).collect();
    assert_eq!(names.len(), rows.len(), "each row has a name of its own");
    assert!(rows.len() >= ROWS_MIN, "{} rows", rows.len());
    let asked = stream::iter(&rows).map(async |row| {
        let told = asking::ask(scene.process.address, &row.sent).await;
        let mut faults = Vec::new();
        if told.words != row.expected {
            let said = told.text.rsplit("\r\n\r\n").next().unwrap_or_default();
            let said: String = said.chars().take(300).collect();
            faults.push(format!(
                "{}: {}, not {}\n    {}",
                row.name,
                told.words,
                row.expected,
                said.escape_debug()
            ));
        }
        faults.extend(
            scene.leaks(&told.text).iter().map(|what| format!("{}: shows {what}", row.name)),
        );
        faults
    });
    let faults: Vec<String> = asked.buffer_unordered(AT_ONCE).collect::<Vec<_>>().await.concat();
    assert!(faults.is_empty(), "{} of {} rows:\n{}\n", faults.len(), rows.len(), faults.join("\n"));
    scene.is_unharmed().await;
}
