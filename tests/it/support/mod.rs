//! What the tests stand on: a world of its own for each test, instances of the server in it, and clients.

pub(crate) mod buying;
pub(crate) mod cards;
pub(crate) mod client;
pub(crate) mod collector;
pub(crate) mod database;
pub(crate) mod frames;
pub(crate) mod like_stripe;
pub(crate) mod owners;
pub(crate) mod pair;
pub(crate) mod pgbouncer;
pub(crate) mod postgres;
pub(crate) mod process;
pub(crate) mod provider;
pub(crate) mod random;
pub(crate) mod redis;
pub(crate) mod relay;
pub(crate) mod sabotage;
pub(crate) mod sandbox;
pub(crate) mod shop;
pub(crate) mod socket;
pub(crate) mod strict_postgres;
pub(crate) mod webhooks;
pub(crate) mod wire;
pub(crate) mod words;
pub(crate) mod world;

use std::time::{Duration, Instant};

/// How often a race or a kill is tried: as often as FRONTROW_TEST_TRIALS says, or so often.
pub(crate) fn trials(usual: usize) -> usize {
    std::env::var("FRONTROW_TEST_TRIALS").ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// Waits until something holds, at most ten seconds; returns what it yields.
pub(crate) async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(start.elapsed() < Duration::from_secs(10), "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Base64 as tokens have it.
pub(crate) fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0_u32, |word, &byte| word << 8 | u32::from(byte))
            << (8 * (3 - chunk.len()));
        for digit in 0..=chunk.len() {
            text.push(char::from(DIGITS[(word >> (18 - 6 * digit)) as usize & 63]));
        }
    }
    text
}
