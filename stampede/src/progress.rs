//! Bars while it runs, or a line every few seconds where nobody watches.

use std::{
    io::IsTerminal,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tokio::task::JoinHandle;

use crate::measure::Recorder;

const LINE_EVERY: Duration = Duration::from_secs(5);
const BAR_EVERY: Duration = Duration::from_millis(200);

/// Shows how far the fans are, until it is dropped.
#[derive(Debug)]
pub(crate) struct Progress(JoinHandle<()>);

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Progress {
    /// Begins.
    pub(crate) fn start(recorder: Arc<Recorder>, fans: usize) -> Self {
        let fans = u64::try_from(fans).unwrap_or(u64::MAX);
        Self(if std::io::stderr().is_terminal() {
            tokio::spawn(bars(recorder, fans))
        } else {
            tokio::spawn(lines(recorder, fans))
        })
    }
}

async fn bars(recorder: Arc<Recorder>, fans: u64) {
    let all = MultiProgress::new();
    let style = ProgressStyle::with_template("{prefix:>10} {bar:36} {pos:>7} of {len}  {msg}");
    let bar = |name: &'static str| {
        let bar = all.add(ProgressBar::new(fans)).with_prefix(name);
        if let Ok(style) = &style {
            bar.set_style(style.clone());
        }
        bar
    };
    let (entered, admitted, sold, done) =
        (bar("entered"), bar("let in"), bar("bought"), bar("done"));
    loop {
        let live = &recorder.live;
        entered.set_position(live.entered.load(Ordering::Relaxed));
        admitted.set_position(live.admitted.load(Ordering::Relaxed));
        sold.set_position(live.sold.load(Ordering::Relaxed));
        done.set_position(live.done.load(Ordering::Relaxed));
        done.set_message(format!(
            "{} s, {} pushes, {} failures",
            (recorder.clock.now() - recorder.started) / 1_000,
            live.pushes.load(Ordering::Relaxed),
            live.failures.load(Ordering::Relaxed)
        ));
        tokio::time::sleep(BAR_EVERY).await;
    }
}

async fn lines(recorder: Arc<Recorder>, fans: u64) {
    loop {
        tokio::time::sleep(LINE_EVERY).await;
        let live = &recorder.live;
        let at = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        eprintln!(
            "{:>4} s: {} of {fans} entered, {} let in, {} bought, {} done, {} pushes, {} failures",
            (recorder.clock.now() - recorder.started) / 1_000,
            at(&live.entered),
            at(&live.admitted),
            at(&live.sold),
            at(&live.done),
            at(&live.pushes),
            at(&live.failures)
        );
    }
}
