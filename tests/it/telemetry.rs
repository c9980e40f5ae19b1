//! What an operator sees of a server that runs: its metrics, its log, its traces.

mod log;
mod operations;
mod slow;
mod traces;

use std::{
    fs::{self, File},
    path::PathBuf,
};

use serde_json::Value;

/// What a process has said; the file is gone with this.
struct Said(PathBuf);

impl Said {
    fn file() -> (Self, File) {
        let path = std::env::temp_dir().join(format!("frontrow-{}.log", uuid::Uuid::now_v7()));
        let file = File::options().create_new(true).append(true).open(&path).unwrap();
        (Self(path), file)
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.0).unwrap()
    }

    /// Every line that is complete, each of which has to be an object of JSON.
    fn lines(&self) -> Vec<Value> {
        let text = self.text();
        text.rfind('\n').map_or_else(Vec::new, |end| lines(&text[..end]))
    }
}

impl Drop for Said {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.0));
    }
}

#[track_caller]
fn lines(text: &str) -> Vec<Value> {
    let line = |line: &str| match serde_json::from_str(line) {
        Ok(Value::Object(object)) => Value::Object(object),
        _ => panic!("no line of JSON: {line:?}"),
    };
    text.lines().map(line).collect()
}
