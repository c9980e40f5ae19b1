//! The requests that wait for a lane, and those that are under way.

use std::{
    collections::{HashSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, oneshot},
    task::yield_now,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{CROWD, GROUP, GroupWork, SOON};
use crate::{
    kernel::Fault,
    telemetry::{Course, Part, Span},
};

/// What a request needs for itself while it is under way.
#[derive(Debug, Clone)]
pub struct Claims<K> {
    /// Under way once at a time, over all lanes of the instance. A later request waits until the earlier one is done: two
    /// payments from one wallet.
    pub alone: Vec<K>,
    /// Under way in one group at a time. Several requests of one group may share it, and [`GroupWork::serve`] sees to the
    /// order among them: two holds of one seat.
    pub shared: Vec<K>,
}

impl<K> Claims<K> {
    fn all(&self) -> impl Iterator<Item = &K> {
        self.alone.iter().chain(&self.shared)
    }
}

type Reply<W> = oneshot::Sender<Result<<W as GroupWork>::Outcome, Fault>>;

/// Requests that are served together, with where to answer each.
pub(super) struct Group<W: GroupWork> {
    pub(super) requests: Vec<W::Request>,
    pub(super) replies: Vec<Reply<W>>,
    /// The operations that wait for the replies, as far as anybody follows them.
    pub(super) courses: Vec<Arc<Course>>,
    /// Where they wait, as far as anybody traces them.
    pub(super) spans: Vec<Span>,
}

impl<W: GroupWork> Default for Group<W> {
    fn default() -> Self {
        Self { requests: Vec::new(), replies: Vec::new(), courses: Vec::new(), spans: Vec::new() }
    }
}

impl<W: GroupWork> Group<W> {
    /// The two halves of it, in order.
    pub(super) fn halves(mut self) -> (Self, Self) {
        let half = self.requests.len() / 2;
        let rest = Self {
            requests: self.requests.split_off(half),
            replies: self.replies.split_off(half.min(self.replies.len())),
            // What is done for one half is done while the other one waits.
            courses: self.courses.clone(),
            spans: self.spans.clone(),
        };
        (self, rest)
    }
}

/// A request that waits.
struct Waiting<W: GroupWork> {
    place: u64,
    since: Instant,
    request: W::Request,
    claims: Claims<W::Key>,
    reply: Reply<W>,
    course: Option<Arc<Course>>,
    span: Span,
}

/// What a lane gets that asks for work.
enum Taken<W: GroupWork> {
    Group(Group<W>, Vec<W::Key>),
    /// The lanes that are busy take what there is, unless they take longer than this.
    Later(Duration),
    Nothing,
}

/// The line in front of the lanes of one kind of work.
pub(super) struct Line<W: GroupWork> {
    state: Mutex<State<W>>,
    /// Something may be taken that could not be before.
    changed: Notify,
    backlog: usize,
}

struct State<W: GroupWork> {
    waiting: VecDeque<Waiting<W>>,
    next_place: u64,
    /// How many groups are being served.
    busy: usize,
    /// Whether the last group was of several: others ask at the same time.
    rush: bool,
    /// Keys of the groups that are being served.
    under_way: HashSet<W::Key>,
}

impl<W: GroupWork> State<W> {
    /// Whether others may be about to join those who wait. At rest nobody is, and looking for them costs a single request more
    /// than all the rest of its way through the lanes.
    fn may_grow(&self) -> bool {
        self.rush || self.waiting.len() > 1
    }

    /// How long an idle lane leaves those who wait to the lanes that are busy: they share the next group. A lane more, for a
    /// few of them, would make two small groups of one, and each costs the database as much as many requests do.
    fn better_later(&self) -> Option<Duration> {
        let first = self.waiting.front()?;
        if self.busy == 0 || self.waiting.len() >= CROWD {
            return None;
        }
        SOON.checked_sub(first.since.elapsed()).filter(|wait| !wait.is_zero())
    }
}

impl<W: GroupWork> Line<W> {
    /// A line that nobody waits in, with room for `backlog` requests.
    pub(super) fn new(backlog: usize) -> Self {
        let state = State {
            waiting: VecDeque::new(),
            next_place: 0,
            busy: 0,
            rush: false,
            under_way: HashSet::new(),
        };
        Self { state: Mutex::new(state), changed: Notify::new(), backlog }
    }

    /// Puts a request at the end; its place, or nothing when the line is full.
    pub(super) fn join(
        &self,
        request: W::Request,
        claims: Claims<W::Key>,
        reply: Reply<W>,
        span: Span,
    ) -> Option<u64> {
        let (place, news) = {
            let mut state = self.state();
            if state.waiting.len() >= self.backlog {
                return None;
            }
            let place = state.next_place;
            state.next_place += 1;
            state.waiting.push_back(Waiting {
                place,
                since: Instant::now(),
                request,
                claims,
                reply,
                course: Course::current(),
                span,
            });
            let waiting = state.waiting.len();
            // In between, those who wait have a lane that comes for them.
            (place, state.busy == 0 || waiting == 1 || waiting >= CROWD)
        };
        if news {
            self.changed.notify_one();
        }
        Some(place)
    }

    /// Takes a request out again; `false` when a lane has it.
    pub(super) fn leave(&self, place: u64) -> bool {
        let mut state = self.state();
        // Places grow along the line.
        let found = state.waiting.binary_search_by_key(&place, |waiting| waiting.place);
        found.ok().and_then(|at| state.waiting.remove(at)).is_some()
    }

    /// Waits for a group. What it claims is under way until the flight is dropped. Nothing when the lanes are closed and
    /// nobody waits whom another lane does not take.
    pub(super) async fn next(
        &self,
        closing: &CancellationToken,
    ) -> Option<(Group<W>, Flight<'_, W>)> {
        loop {
            let changed = self.changed.notified();
            if self.state().may_grow() {
                // What has arrived over other connections joins, too: its tasks are run before this one goes on.
                yield_now().await;
            }
            match self.take() {
                Taken::Group(group, keys) => return Some((group, Flight { line: self, keys })),
                Taken::Later(wait) => drop(timeout(wait, changed).await),
                Taken::Nothing if closing.is_cancelled() => return None,
                Taken::Nothing => tokio::select! {
                    () = changed => {}
                    () = closing.cancelled() => {}
                },
            }
        }
    }

    /// The next group, in order of arrival. A request that has to wait for something keeps its place, and no later one gets
    /// that something first.
    fn take(&self) -> Taken<W> {
        let mut state = self.state();
        if let Some(wait) = state.better_later() {
            return Taken::Later(wait);
        }
        let State { waiting, under_way, .. } = &mut *state;
        let mut group = Group::default();
        let (mut taken, mut alone) = (HashSet::new(), HashSet::new());
        // What is claimed by those who have to wait.
        let mut kept = HashSet::new();
        let mut at = 0;
        while group.requests.len() < GROUP
            && let Some(next) = waiting.get(at)
        {
            let claims = &next.claims;
            let free = claims
                .all()
                .all(|key| !under_way.contains(key) && !kept.contains(key) && !alone.contains(key))
                && !claims.alone.iter().any(|key| taken.contains(key));
            if !free {
                kept.extend(claims.all().cloned());
                at += 1;
                continue;
            }
            // Usually the first of all; else the ones before it are few.
            let Some(next) = waiting.remove(at) else { break };
            taken.extend(next.claims.all().cloned());
            alone.extend(next.claims.alone);
            group.requests.push(next.request);
            group.replies.push(next.reply);
            let waited = next.since.elapsed();
            if let Some(course) = next.course {
                course.add(Part::Lane, waited);
                group.courses.push(course);
            }
            if next.span.is_on() {
                next.span.set("frontrow.waited_us", micros(waited));
                group.spans.push(next.span);
            }
        }
        if group.requests.is_empty() {
            return Taken::Nothing;
        }
        let keys: Vec<W::Key> = taken.into_iter().collect();
        under_way.extend(keys.iter().cloned());
        let more = !waiting.is_empty();
        state.busy += 1;
        state.rush = group.requests.len() > 1;
        drop(state);
        if more {
            // For another lane: this one has enough to do.
            self.changed.notify_one();
        }
        Taken::Group(group, keys)
    }

    fn state(&self) -> MutexGuard<'_, State<W>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

/// What a group claims, until this is dropped: when it is served, or when its lane dies.
pub(super) struct Flight<'a, W: GroupWork> {
    line: &'a Line<W>,
    keys: Vec<W::Key>,
}

impl<W: GroupWork> Drop for Flight<'_, W> {
    fn drop(&mut self) {
        let mut state = self.line.state();
        state.busy = state.busy.saturating_sub(1);
        for key in &self.keys {
            state.under_way.remove(key);
        }
        let awaited = !state.waiting.is_empty();
        drop(state);
        if awaited {
            // Those who waited for it are taken by this lane if it lives, and by another if it does not.
            self.line.changed.notify_one();
        }
    }
}

#[cfg(test)]
impl<W: GroupWork> Line<W> {
    /// How many wait.
    pub(super) fn length(&self) -> usize {
        self.state().waiting.len()
    }
}
