//! What is logged, as operators write it: `info`, or `warn,frontrow=debug`.

use tracing_subscriber::{EnvFilter, filter::LevelFilter};

const WRITTEN: &str = "write off, error, warn, info, debug or trace, and a part of the program as in info,frontrow=debug";

/// Reads a filter. What would silently log nothing is refused: a word that is no level would be taken for a part of the
/// program that there is none of.
///
/// # Errors
/// What is wrong, and what to write.
pub fn log_filter(text: &str) -> Result<String, String> {
    let parts: Vec<&str> = split(text).map(str::trim).filter(|part| !part.is_empty()).collect();
    if parts.is_empty() {
        return Err(format!("it is empty: {WRITTEN}"));
    }
    for part in &parts {
        // What stands in the brackets of a span may hold a sign of equality, too.
        let (of, level) = match part.rsplit_once('=') {
            Some((of, level)) if !level.contains(['}', ']']) => (of, level),
            Some(_) => return Err(format!("a part of it has no level: {WRITTEN}")),
            None => ("", *part),
        };
        if level.is_empty() || level.parse::<LevelFilter>().is_err() {
            return Err(format!("a part of it is no level, and has none: {WRITTEN}"));
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || "_:-.".contains(c);
        if !of.split('[').next().unwrap_or(of).chars().all(plain) {
            return Err(format!("a part of the program has no such name: {WRITTEN}"));
        }
    }
    let filter = parts.join(",");
    EnvFilter::try_new(&filter).map_err(|_| format!("it is no filter: {WRITTEN}"))?;
    Ok(filter)
}

/// Its parts: commas inside of a span's braces are not between parts.
fn split(text: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_usize;
    text.split(move |c: char| {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_levels_and_parts_with_levels() {
        for good in [
            "info",
            "OFF",
            "warn,frontrow=debug",
            "frontrow=debug,info",
            "error,[request{id=1}]=debug",
            "frontrow::http=trace",
        ] {
            assert_eq!(log_filter(good).as_deref(), Ok(good));
        }
        assert_eq!(log_filter(" info, tower_http=trace ").as_deref(), Ok("info,tower_http=trace"));
        for bad in [
            "",
            " , ",
            "inof",
            "verbose",
            "frontrow",
            "info,frontrow",
            "frontrow=loud",
            "frontrow=",
            "=debug=",
            "info;frontrow=debug",
            "error,[request{id=1}]",
        ] {
            let told = log_filter(bad).unwrap_err();
            assert!(told.ends_with("info,frontrow=debug"), "{bad}: {told}");
        }
    }
}
