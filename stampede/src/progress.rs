//! Bars while it runs, or a line every few seconds where nobody watches.

use std::{
    io::IsTerminal,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tokio::task::JoinHandle;

use crate::measure::{Live, Recorder};

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

/// What is counted, of all fans.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Bar {
    Entered,
    Connected,
    Admitted,
    Bought,
    Done,
}

impl Bar {
    const fn name(self) -> &'static str {
        match self {
            Self::Entered => "entered",
            Self::Connected => "connected",
            Self::Admitted => "let in",
            Self::Bought => "bought",
            Self::Done => "done",
        }
    }

    fn count(self, live: &Live) -> u64 {
        let counter = match self {
            Self::Entered => &live.entered,
            Self::Connected => &live.sockets,
            Self::Admitted => &live.admitted,
            Self::Bought => &live.sold,
            Self::Done => &live.done,
        };
        counter.load(Ordering::Relaxed)
    }
}

impl Progress {
    /// Begins.
    pub(crate) fn start(recorder: Arc<Recorder>, fans: usize, bars: &'static [Bar]) -> Self {
        let fans = u64::try_from(fans).unwrap_or(u64::MAX);
        Self(if std::io::stderr().is_terminal() {
            tokio::spawn(draw(recorder, fans, bars))
        } else {
            tokio::spawn(write(recorder, fans, bars))
        })
    }
}

fn rest(recorder: &Recorder) -> String {
    let live = &recorder.live;
    format!(
        "{} pushes, {} failures, {} s",
        live.pushes.load(Ordering::Relaxed),
        live.failures.load(Ordering::Relaxed),
        (recorder.clock.now() - recorder.started) / 1_000
    )
}

async fn draw(recorder: Arc<Recorder>, fans: u64, bars: &'static [Bar]) {
    let all = MultiProgress::new();
    let style = ProgressStyle::with_template("{prefix:>10} {bar:36} {pos:>7} of {len}  {msg}");
    let drawn: Vec<_> = bars
        .iter()
        .map(|bar| {
            let drawn = all.add(ProgressBar::new(fans)).with_prefix(bar.name());
            if let Ok(style) = &style {
                drawn.set_style(style.clone());
            }
            (bar, drawn)
        })
        .collect();
    loop {
        for (bar, drawn) in &drawn {
            drawn.set_position(bar.count(&recorder.live));
        }
        if let Some((_, last)) = drawn.last() {
            last.set_message(rest(&recorder));
        }
        tokio::time::sleep(BAR_EVERY).await;
    }
}

async fn write(recorder: Arc<Recorder>, fans: u64, bars: &'static [Bar]) {
    loop {
        tokio::time::sleep(LINE_EVERY).await;
        let counts: Vec<_> = bars
            .iter()
            .map(|bar| format!("{} {}", bar.count(&recorder.live), bar.name()))
            .collect();
        eprintln!("of {fans} fans {}; {}", counts.join(", "), rest(&recorder));
    }
}
