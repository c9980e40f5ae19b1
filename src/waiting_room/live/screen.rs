//! What one person is shown, for all their subscriptions on this instance: the newest view and nothing older.
//!
//! A channel would do; this keeps a watcher at a fraction of its size, and there are tens of thousands of them.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use super::view::View;

/// The newest view, and whom to wake at the next.
#[derive(Debug)]
pub(super) struct Screen(Mutex<Shown>);

#[derive(Debug)]
struct Shown {
    view: View,
    /// How many views there were.
    count: u64,
    /// By watch; kept from view to view, because most tasks come back with the same waker.
    wakers: Vec<(u64, Waker)>,
    watches: u64,
}

impl Screen {
    /// A screen that shows this.
    pub(super) fn new(view: View) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Shown { view, count: 1, wakers: Vec::new(), watches: 0 })))
    }

    fn shown(&self) -> MutexGuard<'_, Shown> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is shown now.
    pub(super) fn view(&self) -> View {
        self.shown().view
    }

    /// Shows something else, and wakes everybody who watches.
    pub(super) fn show(&self, view: View) {
        let mut shown = self.shown();
        shown.view = view;
        shown.count += 1;
        for (_, waker) in &shown.wakers {
            waker.wake_by_ref();
        }
    }

    /// One more watches; what is shown now is new to them.
    pub(super) fn watch(self: &Arc<Self>) -> ScreenWatch {
        let mut shown = self.shown();
        shown.watches += 1;
        ScreenWatch { screen: self.clone(), number: shown.watches, seen: 0 }
    }
}

/// One watch of a screen.
#[derive(Debug)]
pub(super) struct ScreenWatch {
    screen: Arc<Screen>,
    number: u64,
    /// Which of the views they saw last; 0 for none.
    seen: u64,
}

impl ScreenWatch {
    /// Ready when something is shown that this watch has not seen.
    pub(super) fn poll_change(&self, context: &Context<'_>) -> Poll<()> {
        let mut shown = self.screen.shown();
        if shown.count > self.seen {
            return Poll::Ready(());
        }
        let own = shown.wakers.iter().position(|(number, _)| *number == self.number);
        match own.and_then(|at| shown.wakers.get_mut(at)) {
            Some((_, waker)) => waker.clone_from(context.waker()),
            None => {
                // Vec would begin with room for four, and hardly anybody has two tabs.
                shown.wakers.reserve_exact(1);
                shown.wakers.push((self.number, context.waker().clone()));
            }
        }
        Poll::Pending
    }

    /// Looks at what is shown now.
    pub(super) fn look(&mut self) -> View {
        let shown = self.screen.shown();
        self.seen = shown.count;
        shown.view
    }
}

impl Drop for ScreenWatch {
    fn drop(&mut self) {
        let own = {
            let mut shown = self.screen.shown();
            let own = shown.wakers.iter().position(|(number, _)| *number == self.number);
            own.map(|at| shown.wakers.swap_remove(at))
        };
        // Outside of the lock: the last waker of a task may drop whatever the task still holds.
        drop(own);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::task::noop_waker_ref;

    use super::*;
    use crate::waiting_room::QueueStatus;

    fn at(position: i64) -> View {
        View {
            status: QueueStatus::Waiting,
            room: None,
            everything_held: None,
            position: Some(position),
            waiting: 10,
            wait_seconds: None,
            version: 1,
            activated_at: None,
            expires_at: None,
            ended_because: None,
        }
    }

    #[test]
    fn a_slow_watch_sees_the_newest_view_once_and_none_of_those_before() {
        let screen = Screen::new(at(9));
        let mut watch = screen.watch();
        let context = Context::from_waker(noop_waker_ref());
        assert_eq!(watch.poll_change(&context), Poll::Ready(()));
        assert_eq!(watch.look(), at(9));
        assert_eq!(watch.poll_change(&context), Poll::Pending);
        for position in (1..9).rev() {
            screen.show(at(position));
        }
        assert_eq!(watch.poll_change(&context), Poll::Ready(()));
        assert_eq!(watch.look(), at(1));
        assert_eq!(watch.poll_change(&context), Poll::Pending);
    }

    #[tokio::test]
    async fn every_watch_is_woken_and_one_who_went_is_forgotten() {
        let screen = Screen::new(at(9));
        let mut stays = screen.watch();
        let mut goes = screen.watch();
        for watch in [&mut stays, &mut goes] {
            watch.look();
            assert!(watch.poll_change(&Context::from_waker(noop_waker_ref())).is_pending());
        }
        let woken = tokio::spawn(async move {
            std::future::poll_fn(|context| stays.poll_change(context)).await;
            (stays.look(), stays)
        });
        tokio::task::yield_now().await;
        drop(goes);
        screen.show(at(8));
        let (view, stays) = woken.await.unwrap();
        assert_eq!(view, at(8));
        assert_eq!(screen.shown().wakers.len(), 1);
        drop(stays);
        assert!(screen.shown().wakers.is_empty());
    }
}
