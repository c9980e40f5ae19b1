//! Whether our clock agrees with a store's.

use super::finding::Finding;

/// Nobody notices less, in milliseconds.
const NOTED: i64 = 1_000;
/// From here on sessions end early, or late, for somebody.
const WRONG: i64 = 5_000;

/// `ahead` is by how much their clock is ahead of ours, and `around` by how much that may be wrong; both in milliseconds.
pub(super) fn compare(whose: &'static str, ahead: i64, around: i64) -> Finding {
    // What is certain.
    let apart = ahead.abs().saturating_sub(around).max(0);
    let direction = if ahead < 0 { "behind" } else { "ahead of" };
    let what = format!("{whose}'s clock is {apart} ms {direction} ours");
    let why = "sessions, webhooks and who may still look at seats go by this machine's, all else by Postgres's";
    let todo = "have both machines follow one time server (chrony)";
    match apart {
        apart if apart >= WRONG => Finding::wrong("clock", what, why, todo),
        apart if apart >= NOTED => Finding::note("clock", what, why, todo),
        _ => Finding::ok("clock", format!("{whose}'s clock agrees with ours, to {around} ms")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_certain_counts() {
        let told = |ahead, around| compare("Postgres", ahead, around).to_string();
        assert!(told(900, 5).starts_with("ok"));
        assert!(
            told(-1_500, 5).starts_with("note") && told(-1_500, 5).contains("1495 ms behind ours")
        );
        assert!(told(-1_500, 600).starts_with("ok"));
        assert!(told(9_000, 5).starts_with("WRONG") && told(9_000, 5).contains("ahead of ours"));
    }
}
