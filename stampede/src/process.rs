//! Memory and CPU time of processes on this machine, from /proc. Elsewhere there is nothing to tell.

use std::fs;

/// Clock ticks per second of /proc on Linux, on every machine of the last decades.
const TICKS_PER_SECOND: f64 = 100.0;

/// Resident memory in kB, of all of them together.
pub(crate) fn memory_kb(pids: &[u32]) -> Option<f64> {
    pids.iter().map(|pid| resident(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?)).sum()
}

/// Seconds of CPU used so far, by all of them together.
pub(crate) fn cpu_seconds(pids: &[u32]) -> Option<f64> {
    pids.iter().map(|pid| used(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)).sum()
}

fn resident(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}

fn used(stat: &str) -> Option<f64> {
    // The name may itself have spaces and brackets.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    Some((ticks()? + ticks()?) / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_and_time_are_found() {
        assert_eq!(resident("Name:\tx\nVmRSS:\t   1234 kB\n"), Some(1_234.0));
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 2 3 4 150 50 0 0 20 0 1 0 9";
        assert_eq!(used(stat), Some(2.0));
    }
}
