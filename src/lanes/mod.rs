//! Lanes: a few tasks that take the requests that have arrived and serve them as one group, with one statement.
//!
//! Nobody waits for a group to fill: a request that finds nothing of its kind under way is served at once, by itself. What
//! arrives meanwhile shares the next group, so groups grow with the load and the database is asked less often.
//!
//! Nothing here knows what is asked for. A feature says by [`GroupWork`] how a group is served, and what may not be under
//! way twice; it asks by [`Lanes::ask`].

mod line;

use std::{
    fmt,
    future::Future,
    hash::Hash,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

pub use line::Claims;
use line::{Flight, Group, Line};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    kernel::{Fault, FaultKind},
    tasks::Tasks,
    telemetry::{Course, LaneLabels, Metrics, Span},
    turns::deadline,
};

/// Lanes of one kind of work on one instance. While the statement of one is running the other one is prepared, and more of
/// them make groups smaller; each needs a connection of its own (`LANE_CONNECTIONS` in db/mod.rs).
pub const LANES: usize = 2;
/// Requests in one group at most: a larger one saves little more, and everybody in it waits until all of it is done.
pub const GROUP: usize = 32;
/// This many who wait are worth a second group: then an idle lane takes them although another one is busy. Of 4, 8, 12, 16 and 32 this
/// was the fastest with 32 connections: less makes small groups, and more leaves the database idle while a group is committed.
const CROWD: usize = 12;
/// An idle lane takes fewer than that after this time: the busy ones may have met something slow.
const SOON: Duration = Duration::from_millis(10);
/// Requests of one kind that wait for a lane at most, on one instance; more are told to come back. A little more than what
/// is served within a second.
const BACKLOG: usize = 4_096;
/// Nobody waits longer for a lane than this times their patience, even in a line that moves.
const PATIENCES: u32 = 2;
/// How long an answer is waited for once a lane has the request, where the request's deadline is not nearer. Longer than a
/// statement may take, with connecting anew; what was asked for may have been done when it is over.
const ANSWER_PATIENCE: Duration = Duration::from_secs(8);

/// What lanes do: one kind of request, served many at a time.
pub trait GroupWork: Send + Sync + 'static {
    /// What is asked for.
    type Request: Send + Sync + 'static;
    /// What became of it; a refusal by the rules is one, too.
    type Outcome: Send + Sync + 'static;
    /// Names what may not be under way twice.
    type Key: Clone + Eq + Hash + Send + Sync + 'static;

    /// What a request needs for itself while it is under way.
    fn claims(&self, request: &Self::Request) -> Claims<Self::Key>;

    /// Serves requests whose claims agree with each other and with whatever else is under way on this instance; returns an
    /// outcome for each, in their order.
    ///
    /// # Errors
    /// A fault when nobody was served. After [`FaultKind::Internal`] and [`FaultKind::CallerGone`], which may be about a
    /// single request, each half of the group is tried by itself; after any other kind everybody is told of it.
    fn serve(
        &self,
        group: &[Self::Request],
    ) -> impl Future<Output = Result<Vec<Self::Outcome>, Fault>> + Send;

    /// Tells the world what a group has changed. Nobody of the group is answered before; the lane goes on meanwhile.
    fn tell(
        &self,
        group: &[Self::Request],
        outcomes: &[Self::Outcome],
    ) -> impl Future<Output = ()> + Send;
}

/// How the lanes of one kind of work are called, and how long they are waited for.
#[derive(Debug, Clone, Copy)]
pub struct LaneSettings {
    /// What the metrics call them: `holds`.
    pub name: &'static str,
    /// What the task of each is called: `serving holds`.
    pub task: &'static str,
    /// How long a request waits for a lane while nobody is served.
    pub patience: Duration,
}

/// Where the answer to a request comes from.
type Answer<W> = oneshot::Receiver<Result<<W as GroupWork>::Outcome, Fault>>;

/// The door to the lanes of one kind of work; cheap to clone. The lanes end when the last clone is gone, and serve all who
/// wait before they do.
pub struct Lanes<W: GroupWork> {
    desk: Arc<Desk<W>>,
    patience: Duration,
    _open: Arc<DropGuard>,
}

/// What the lanes of one kind of work share.
struct Desk<W: GroupWork> {
    work: W,
    line: Line<W>,
    /// How many groups have been served: tells whether the line moves.
    served: AtomicU64,
    metrics: Metrics,
    labels: LaneLabels,
    tasks: Tasks,
}

impl<W: GroupWork> Lanes<W> {
    /// Starts [`LANES`] lanes.
    pub fn start(work: W, settings: &LaneSettings, metrics: &Metrics, tasks: &Tasks) -> Self {
        let closing = CancellationToken::new();
        let labels = LaneLabels { lane: settings.name };
        // On the page from the start.
        drop(metrics.lane_groups.get_or_create(&labels));
        let desk = Arc::new(Desk {
            work,
            line: Line::new(BACKLOG),
            served: AtomicU64::new(0),
            metrics: metrics.clone(),
            labels,
            tasks: tasks.clone(),
        });
        for _ in 0..LANES {
            let (desk, closing) = (Arc::clone(&desk), closing.clone());
            tasks.keep_vital(settings.task, closing.clone(), move || {
                lane(Arc::clone(&desk), closing.clone())
            });
        }
        Self { desk, patience: settings.patience, _open: Arc::new(closing.drop_guard()) }
    }

    /// Has a request served with the next group that has room for it. A caller that hangs up changes nothing: the request is
    /// served, and told of, all the same.
    ///
    /// # Errors
    /// [`FaultKind::Unavailable`] when the line in front of the lanes is full or stands still, and nothing was changed;
    /// [`FaultKind::Unanswered`] when a lane died with the request, or gave no answer; else what [`GroupWork::serve`] says.
    pub async fn ask(&self, request: W::Request) -> Result<W::Outcome, Fault> {
        let (reply, answer) = oneshot::channel();
        let claims = self.desk.work.claims(&request);
        let span = Span::part(|| format!("lane {}", self.desk.labels.lane));
        let _over = span.until_dropped();
        let Some(place) = self.desk.line.join(request, claims, reply, span.clone()) else {
            return Err(Fault::unavailable("too many requests wait for a lane"));
        };
        self.answered(place, answer).await
    }

    /// Waits for an answer, unless the line stands still.
    async fn answered(&self, place: u64, answer: Answer<W>) -> Result<W::Outcome, Fault> {
        let mut answer = pin!(answer);
        let lost = || Fault::alike(FaultKind::Unanswered, "a lane gave no answer");
        let since = Instant::now();
        let mut seen = self.served();
        loop {
            tokio::select! {
                biased;
                answer = &mut answer => return answer.map_err(|_| lost())?,
                () = sleep(deadline::at_most(self.patience)) => {}
            }
            let served = self.served();
            let late = deadline::at_most(self.patience).is_zero();
            if served == seen || late || since.elapsed() >= self.patience * PATIENCES {
                break;
            }
            seen = served;
        }
        if self.desk.line.leave(place) {
            return Err(Fault::unavailable("the line in front of the lanes stands still"));
        }
        // A lane has it: there will be an answer.
        let patience = deadline::at_most(ANSWER_PATIENCE);
        timeout(patience, answer).await.map_err(|_| lost())?.map_err(|_| lost())?
    }

    fn served(&self) -> u64 {
        self.desk.served.load(Ordering::Relaxed)
    }
}

impl<W: GroupWork> Clone for Lanes<W> {
    fn clone(&self) -> Self {
        let Self { desk, patience, _open } = self;
        Self { desk: Arc::clone(desk), patience: *patience, _open: Arc::clone(_open) }
    }
}

impl<W: GroupWork> fmt::Debug for Lanes<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lanes").field("lane", &self.desk.labels.lane).finish_non_exhaustive()
    }
}

/// Serves group after group until the lanes are closed and nobody waits.
async fn lane<W: GroupWork>(desk: Arc<Desk<W>>, closing: CancellationToken) {
    while let Some((group, flight)) = desk.line.next(&closing).await {
        desk.serve(group, &flight).await;
    }
}

impl<W: GroupWork> Desk<W> {
    /// Serves a group. Should this die, everybody in it is told that there is no answer.
    async fn serve(self: &Arc<Self>, group: Group<W>, flight: &Flight<'_, W>) {
        let Group { requests, replies, courses, spans } = group;
        #[expect(clippy::cast_precision_loss, reason = "a group is small")]
        self.metrics.lane_groups.get_or_create(&self.labels).observe(requests.len() as f64);
        let shared = Arc::new(Course::default());
        let span = Span::of_group("serve a group", spans.iter());
        let work = Arc::clone(&shared).follow(self.work.serve(&requests));
        let served = span.run(work).await;
        match served {
            Ok(outcomes) => {
                self.served.fetch_add(1, Ordering::Relaxed);
                let desk = Arc::clone(self);
                self.tasks.spawn_vital("answering a lane", async move {
                    let tell = Arc::clone(&shared).follow(desk.work.tell(&requests, &outcomes));
                    span.run(tell).await;
                    courses.iter().for_each(|course| course.add_all(&shared));
                    for (reply, outcome) in replies.into_iter().zip(outcomes) {
                        // A caller who has hung up needs no answer.
                        drop(reply.send(Ok(outcome)));
                    }
                });
            }
            // One request that Postgres cannot take must not cost the others theirs.
            Err(fault) if requests.len() > 1 && is_about_one(&fault) => {
                courses.iter().for_each(|course| course.add_all(&shared));
                let (first, second) = Group { requests, replies, courses, spans }.halves();
                Box::pin(self.serve(first, flight)).await;
                Box::pin(self.serve(second, flight)).await;
            }
            Err(fault) => {
                self.served.fetch_add(1, Ordering::Relaxed);
                courses.iter().for_each(|course| course.add_all(&shared));
                refuse(self.labels.lane, fault, replies);
            }
        }
    }
}

/// Whether a fault may be about one request, so that the others are better tried without it.
const fn is_about_one(fault: &Fault) -> bool {
    matches!(fault.kind(), FaultKind::Internal | FaultKind::CallerGone)
}

/// Tells everybody of a fault: a single one what it was, several its kind, and the log the rest.
fn refuse<T>(lane: &'static str, fault: Fault, replies: Vec<oneshot::Sender<Result<T, Fault>>>) {
    let mut replies = replies;
    if replies.len() > 1 {
        tracing::error!(lane, people = replies.len(), fault = %fault.report(), "a group failed");
    }
    let last = replies.pop();
    for reply in replies {
        drop(reply.send(Err(Fault::alike(fault.kind(), "the group failed"))));
    }
    if let Some(reply) = last {
        drop(reply.send(Err(fault)));
    }
}

#[cfg(test)]
mod tests;
