//! Fuzzing on stable Rust: seeds that are changed at random, for a second each, or for as many as FRONTROW_FUZZ_SECONDS says.

use std::{
    env, fs,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::Path,
    time::{Duration, Instant, SystemTime},
};

/// Inputs do not become longer than this, beyond every limit of size.
const BYTES: usize = 80_000;
/// As many changes to one input at most.
const CHANGES: usize = 8;

/// What means something to one of the readers.
const WORDS: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    "(",
    ")",
    ":",
    "...",
    "\"",
    "\"\"\"",
    "\\u",
    "\\ud800",
    "\\u{1f3b5}",
    "\\\"\"\"",
    "%",
    "%22",
    "%ff",
    "documentId",
    "sha256:",
    "\"persistedQuery\":",
    "\\",
    "#",
    "$",
    "!",
    "=",
    "@",
    "|",
    "&",
    ",",
    "\n",
    "\r\n",
    "\0",
    "\u{feff}",
    "é",
    "🎫",
    "on",
    "query",
    "mutation",
    "subscription",
    "fragment",
    "fragment f on Query{...f}",
    "...f",
    "{__typename}",
    "__schema",
    "__type(name:\"Query\")",
    "@skip(if:true)",
    "true",
    "null",
    "-0",
    "1e400",
    "9223372036854775808",
    ".",
    "..",
    "Bearer ",
    "eyJhbGciOiJub25lIn0",
    "frt_",
    "0000",
    "-",
    "urn:uuid:",
    "{\"type\":\"",
    "\"payload\":",
    "\"id\":",
    "\"query\":",
    "\"variables\":",
    "\"extensions\":",
    "\"operationName\":",
    "\"authorization\":",
    "connection_init",
    "subscribe",
    "complete",
    "ping",
    "\u{81}",
    "\u{88}",
    "\u{89}",
    "\u{7e}",
    "\u{7f}",
    "\u{fe}",
    "\u{ff}",
];

/// A small generator (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below a limit; 0 when that is 0.
    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % (limit as u64).max(1)).unwrap()
    }

    fn one_of<'a, T: ?Sized>(&mut self, all: &'a [&T]) -> &'a T {
        all[self.below(all.len())]
    }

    /// A piece of some bytes.
    fn piece(&mut self, bytes: &[u8]) -> Vec<u8> {
        let from = self.below(bytes.len());
        let most = (bytes.len() - from).min(if self.below(4) == 0 { 4_000 } else { 32 });
        bytes[from..from + self.below(most + 1)].to_vec()
    }

    /// Changes bytes at one place.
    fn change(&mut self, bytes: &mut Vec<u8>, seeds: &[Vec<u8>]) {
        let at = self.below(bytes.len() + 1);
        match self.below(8) {
            0 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
            1 if at < bytes.len() => bytes[at] = self.next().to_le_bytes()[0],
            2 => {
                let to = (at + self.below(64)).min(bytes.len());
                bytes.drain(at..to);
            }
            3 => bytes.truncate(at),
            4 => {
                let piece = self.piece(bytes).repeat(1 + self.below(40));
                bytes.splice(at..at, piece);
            }
            5 => {
                let other = &seeds[self.below(seeds.len())];
                let piece = self.piece(other);
                bytes.splice(at..at, piece);
            }
            _ => {
                let word = self.one_of(WORDS).as_bytes().to_vec();
                bytes.splice(at..at, word);
            }
        }
        bytes.truncate(BYTES);
    }
}

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
    let files = fs::read_dir(&folder).unwrap_or_else(|_| panic!("{} is there", folder.display()));
    let mut paths: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() >= 8, "{target} has {} seeds", paths.len());
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// Tries every seed as it is, and then changed ones. What fails is printed, with what repeats it.
fn fuzz(target: &str, try_one: fn(&[u8])) {
    let seeds = seeds(target);
    for seed in &seeds {
        try_one(seed);
    }
    let number = |name: &str| env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seconds = number("FRONTROW_FUZZ_SECONDS").unwrap_or(1);
    let clock = || SystemTime::UNIX_EPOCH.elapsed().unwrap().as_micros();
    let start = number("FRONTROW_TEST_SEED").unwrap_or_else(|| u64::try_from(clock()).unwrap());
    eprintln!("{target}: FRONTROW_TEST_SEED={start}");
    let mut random = Random(start);
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut tried = 0_u64;
    while Instant::now() < end {
        let mut input = seeds[random.below(seeds.len())].clone();
        for _ in 0..=random.below(CHANGES) {
            random.change(&mut input, &seeds);
        }
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| try_one(&input))) {
            eprintln!("{target}, input {tried}: {}", input.escape_ascii());
            resume_unwind(panic);
        }
        tried += 1;
    }
    eprintln!("{target}: {tried} inputs");
    assert!(tried > 0);
}

#[test]
fn no_document_gets_past_the_guard() {
    fuzz("documents", super::document);
}

#[test]
fn no_token_is_believed_that_is_none() {
    fuzz("tokens", super::token);
}

#[test]
fn no_cursor_has_two_texts() {
    fuzz("cursors", super::cursor);
}

#[test]
fn no_body_is_read_in_two_ways() {
    fuzz("requests", super::request);
}

#[test]
fn no_address_is_read_in_two_ways() {
    fuzz("addresses", super::address);
}

#[test]
fn no_message_is_taken_that_is_none() {
    fuzz("messages", super::message);
}

#[test]
fn no_frames_are_lost_count_of() {
    fuzz("frames", super::frames);
}

/// So that the seeds of tokens are worth changing.
#[test]
fn the_seeds_hold_tokens_that_are_believed() {
    let sessions = seeds("tokens").into_iter().filter(|seed| {
        let text = String::from_utf8(seed.clone()).unwrap();
        let token = text.trim().trim_start_matches("Bearer ");
        let read = super::SESSIONS.verify(token);
        futures_util::FutureExt::now_or_never(read).is_some_and(|read| read.is_ok())
    });
    assert!(sessions.count() >= 2);
}
