//! Tasks that die.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

fn tasks() -> (Tasks, Metrics) {
    let metrics = Metrics::new();
    (Tasks::new(&metrics), metrics)
}

fn deaths(metrics: &Metrics, name: &'static str) -> u64 {
    metrics.task_panics.get_or_create(&TaskLabels { task: name }).get()
}

/// Waits for something that happens soon.
async fn until_true(happened: impl Fn() -> bool + Send + Sync) {
    let soon = async {
        while !happened() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), soon).await.expect("it did not happen");
}

#[expect(clippy::panic, reason = "that is what is tried")]
fn die() {
    panic!("planted")
}

#[tokio::test]
async fn a_task_that_panics_is_counted_and_gives_no_result() {
    let (tasks, metrics) = tasks();
    assert_eq!(tasks.spawn("adding", async { 1 + 1 }).await.unwrap(), Some(2));
    assert_eq!(tasks.spawn("dying", async { die() }).await.unwrap(), None);
    let tracker = TaskTracker::new();
    assert_eq!(tasks.spawn_tracked(&tracker, "dying", async { die() }).await.unwrap(), None);
    tracker.close();
    tracker.wait().await;
    assert_eq!((deaths(&metrics, "adding"), deaths(&metrics, "dying")), (0, 2));
    assert_eq!(tasks.ailing(), None, "the server can do without it");
    let page = metrics.render();
    assert!(page.contains("frontrow_task_panics_total{task=\"dying\"} 2"), "{page}");
}

#[tokio::test]
async fn a_kept_task_is_started_again_when_it_panics_and_when_it_ends_without_cause() {
    let (tasks, metrics) = tasks();
    let (starts, until) = (Arc::new(AtomicUsize::new(0)), CancellationToken::new());
    let count = starts.clone();
    let kept = tasks.keep_vital("looping", until, move || {
        let turn = count.fetch_add(1, Ordering::Relaxed);
        async move {
            match turn {
                0 => die(),
                1 => {}
                _ => std::future::pending().await,
            }
        }
    });
    until_true(|| starts.load(Ordering::Relaxed) == 3 && tasks.ailing().is_none()).await;
    assert_eq!(deaths(&metrics, "looping"), 2);
    kept.abort();
    assert!(kept.await.unwrap_err().is_cancelled());
    assert_eq!(tasks.ailing(), None);
}

#[tokio::test]
async fn the_server_is_unready_while_a_vital_task_is_down() {
    let (tasks, _) = tasks();
    drop(tasks.died("minor", Weight::Light, None));
    let down = tasks.died("looping", Weight::Vital, None);
    assert_eq!(tasks.ailing(), Some("looping"));
    drop(down);
    assert_eq!(tasks.ailing(), None);
}

#[test]
fn pauses_grow_up_to_a_limit() {
    let pauses: Vec<Duration> =
        std::iter::successors(Some(PAUSE_FIRST), |pause| Some(longer(*pause))).take(9).collect();
    assert!(pauses.is_sorted() && pauses[0] < pauses[1] && pauses[8] == PAUSE_MAX, "{pauses:?}");
}

#[tokio::test]
async fn the_server_is_unready_for_a_minute_after_several_deaths() {
    let (tasks, _) = tasks();
    for _ in 0..DEATHS_TO_TELL - 1 {
        tasks.spawn_vital("writing", async { die() }).await.unwrap();
    }
    assert_eq!(tasks.ailing(), None);
    tasks.spawn_vital("writing", async { die() }).await.unwrap();
    assert_eq!(tasks.ailing(), Some("writing"));
    assert_eq!(tasks.ailing_at(Instant::now() + CALM), None);
}

#[tokio::test]
async fn what_ends_for_good_is_not_started_again() {
    let (tasks, metrics) = tasks();
    let until = CancellationToken::new();
    let over = until.clone();
    let kept = tasks.keep("ending", until, move || {
        let over = over.clone();
        async move { over.cancel() }
    });
    kept.await.unwrap();
    // Nor is what dies while it is told to end.
    let until = CancellationToken::new();
    let over = until.clone();
    let kept = tasks.keep("ending", until, move || {
        let over = over.clone();
        async move {
            over.cancel();
            die();
        }
    });
    kept.await.unwrap();
    assert_eq!(deaths(&metrics, "ending"), 1);
}

#[test]
#[expect(clippy::panic, reason = "that is what is tried")]
fn only_what_stands_in_the_source_is_told_of_a_panic() {
    let of = |panic: fn()| std::panic::catch_unwind(panic).unwrap_err();
    assert_eq!(panics::told(&*of(|| panic!("planted"))), Some("planted"));
    let made = of(|| panic!("what a client wrote: {}", std::hint::black_box("S3cr3t-pass")));
    assert_eq!(panics::told(&*made), None);
    let sliced = of(|| drop(std::hint::black_box("ü S3cr3t-pass")[1..].to_owned()));
    assert_eq!(panics::told(&*sliced), None);
}

/// What is written to the log.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
#[expect(clippy::panic, reason = "that is what is tried")]
fn a_panic_is_one_line_of_the_log_with_its_place_and_nothing_of_a_clients() {
    let log = Log::default();
    let written = log.clone();
    let lines = tracing_subscriber::fmt().json().with_writer(move || written.clone()).finish();
    let hook = std::panic::take_hook();
    log_panics();
    tracing::subscriber::with_default(lines, || {
        let of = |panic: fn()| drop(std::panic::catch_unwind(panic));
        of(|| panic!("planted"));
        of(|| panic!("what a client wrote: {}", std::hint::black_box("S3cr3t-pass")));
    });
    std::panic::set_hook(hook);
    let told = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines.len(), 2, "{told}");
    assert!(lines[0].contains("something panicked") && lines[0].contains("planted"), "{told}");
    assert!(lines[1].contains("src/tasks/tests.rs:") && lines[1].contains("ERROR"), "{told}");
    assert!(!told.contains("S3cr3t"), "{told}");
}
