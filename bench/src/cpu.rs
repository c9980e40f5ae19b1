//! CPU time and memory of other processes, from /proc. On systems without it the figures are 0.

use std::fs;

/// Clock ticks per second of /proc on Linux, on every machine of the last decades.
const TICKS_PER_SECOND: f64 = 100.0;

/// The programs whose CPU is counted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Processes {
    pub(crate) server: u32,
    /// Postgres's first process; its children are the backends.
    pub(crate) postgres: u32,
}

/// Seconds of CPU used so far.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Used {
    pub(crate) server: f64,
    pub(crate) postgres: f64,
}

impl Processes {
    pub(crate) fn used(self) -> Used {
        // Backends that have ended are counted by their parent.
        let postgres = own(self.postgres)
            + reaped(self.postgres)
            + children(self.postgres).map(own).sum::<f64>();
        Used { server: own(self.server), postgres }
    }
}

/// Seconds of CPU used so far by the threads that a process has now, to the nanosecond.
pub(crate) fn exact(pid: u32) -> f64 {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let seconds = threads.filter_map(|thread| {
        let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<f64>().ok()
    });
    seconds.sum::<f64>() / 1e9
}

/// Resident memory of a process, in kB.
pub(crate) fn memory_kb(pid: u32) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0.0)
}

/// The fields of /proc/PID/stat after the name, which may itself have spaces and brackets.
fn fields(pid: u32) -> Vec<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let rest = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    rest.split_whitespace().map(str::to_owned).collect()
}

fn seconds(pid: u32, first: usize) -> f64 {
    let fields = fields(pid);
    let ticks =
        |index: usize| fields.get(index).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(first) + ticks(first + 1)) / TICKS_PER_SECOND
}

fn own(pid: u32) -> f64 {
    seconds(pid, 11)
}

fn reaped(pid: u32) -> f64 {
    seconds(pid, 13)
}

fn children(parent: u32) -> impl Iterator<Item = u32> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(move |pid| fields(*pid).get(1).is_some_and(|field| *field == parent.to_string()))
}
