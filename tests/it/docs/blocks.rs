//! Blocks of code in pages: those who copy one shall not be the first to try it.

use std::process::Command;

use super::pages::{self, Block};
use crate::support::world::World;

fn blocks(languages: &[&str]) -> Vec<Block> {
    let blocks = pages::all().into_iter().flat_map(|page| page.blocks);
    blocks.filter(|block| languages.contains(&block.language.as_str())).collect()
}

#[test]
fn every_block_says_what_it_is() {
    let known = [
        "sh", "graphql", "json", "mermaid", "sql", "promql", "nginx", "text", "js", "yaml", "toml",
        "rust", "",
    ];
    for block in pages::all().iter().flat_map(|page| &page.blocks) {
        assert!(known.contains(&block.language.as_str()), "{}: {}?", block.place, block.language);
    }
}

#[test]
fn shell_is_understood() {
    let blocks = blocks(&["sh"]);
    assert!(blocks.len() > 20, "{}", blocks.len());
    for block in blocks {
        let told = Command::new("bash").args(["-n", "-c", &block.text]).output().unwrap();
        assert!(
            told.status.success(),
            "{}: {}",
            block.place,
            String::from_utf8_lossy(&told.stderr)
        );
    }
}

/// JSON in which `…` stands for further items of a list.
fn whole(json: &str) -> String {
    let (mut whole, mut quoted, mut escaped) = (String::new(), false, false);
    for c in json.chars() {
        if c == '…' && !quoted {
            let kept = whole.trim_end().trim_end_matches(',').len();
            whole.truncate(kept);
            continue;
        }
        quoted ^= c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        whole.push(c);
    }
    whole
}

#[test]
fn json_is_well_formed() {
    let blocks = blocks(&["json"]);
    assert!(blocks.len() > 8, "{}", blocks.len());
    for block in blocks {
        for value in
            serde_json::Deserializer::from_str(&whole(&block.text)).into_iter::<serde_json::Value>()
        {
            assert!(value.is_ok(), "{}: {value:?}", block.place);
        }
    }
}

#[test]
fn an_ellipsis_stands_for_items_and_stays_in_texts() {
    assert_eq!(whole(r#"{"a": ["b…", …], "c\"…": 1}"#), r#"{"a": ["b…"], "c\"…": 1}"#);
}

/// A document with a name for its operation.
fn named(text: &str) -> String {
    let text = text.trim_start();
    for kind in ["query", "mutation", "subscription"] {
        match text.strip_prefix(kind).map(str::trim_start) {
            Some(rest) if rest.starts_with(['{', '(']) => return format!("{kind} Shown {rest}"),
            _ => {}
        }
    }
    if text.starts_with('{') { format!("query Shown {text}") } else { text.to_owned() }
}

/// The server validates a document as a whole, and runs the operation that is asked for.
#[tokio::test(flavor = "multi_thread")]
async fn graphql_fits_the_schema() {
    let blocks = blocks(&["graphql"]);
    assert!(blocks.len() > 8, "{}", blocks.len());
    let world = World::new().await;
    let instance = world.quiet_instance(&[]).await;
    let ask = async |text: &str| {
        let query = format!("query Asked {{ __typename }} {}", named(text));
        let body = serde_json::json!({ "query": query, "operationName": "Asked" });
        let url = format!("http://{}/graphql", instance.address);
        let answer = reqwest::Client::new().post(url).json(&body).send().await.unwrap();
        answer.json::<serde_json::Value>().await.unwrap()
    };
    for block in blocks {
        let answer = ask(&block.text).await;
        assert!(answer["errors"].is_null(), "{}: {}", block.place, answer["errors"]);
        assert_eq!(answer["data"]["__typename"], "Query", "{}", block.place);
    }
    for wrong in
        ["{ concert }", "mutation { pay(input: { key: 1 }) { payment { id } } }", "{ me { id } "]
    {
        assert!(ask(wrong).await["errors"].is_array(), "{wrong}");
    }
}
