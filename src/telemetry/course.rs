//! What is known of an operation while it runs: where its time goes, and what the rules said no to.
//!
//! It travels with the operation's task, as its deadline does. What is done for many operations at once is told to each of
//! them by whoever does it.

use std::{
    future::Future,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use super::Span;

tokio::task_local! {
    static COURSE: Arc<Course>;
}

/// What an operation's time goes into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Waiting for other requests of the same person.
    Share,
    /// Waiting for a place among the requests that are answered at the same time.
    Place,
    /// Waiting for a lane, or for the journal of a line, whose statement is shared.
    Lane,
    /// Waiting for a connection to Postgres.
    Connection,
    /// Statements, until Postgres has answered.
    Sql,
    /// Calls to Redis.
    Redis,
    /// Calls to the card gateway.
    Gateway,
}

const PARTS: usize = 7;
/// Shorter waits are not shown in traces: every statement has one.
const WAIT_SHOWN: Duration = Duration::from_millis(1);

impl Part {
    /// What waiting for it is called in a trace; nothing for what has a span of its own.
    const fn waits(self) -> Option<&'static str> {
        match self {
            Self::Share => Some("wait for the person's own requests"),
            Self::Place => Some("wait for a place"),
            Self::Connection => Some("wait for a connection"),
            Self::Lane | Self::Sql | Self::Redis | Self::Gateway => None,
        }
    }
}

/// One operation, from its arrival to its answer.
#[derive(Debug, Default)]
pub struct Course {
    refusal: OnceLock<&'static str>,
    spent: [Spent; PARTS],
}

/// What one part took.
#[derive(Debug, Default)]
struct Spent {
    micros: AtomicU64,
    times: AtomicU64,
}

impl Course {
    /// Runs work of this operation.
    pub async fn follow<T>(self: Arc<Self>, work: impl Future<Output = T>) -> T {
        COURSE.scope(self, work).await
    }

    /// The operation that is going on in this task, if there is one.
    pub fn current() -> Option<Arc<Self>> {
        COURSE.try_with(Arc::clone).ok()
    }

    /// The code that the rules said no with.
    pub fn refusal(&self) -> Option<&'static str> {
        self.refusal.get().copied()
    }

    /// Microseconds that a part took; nothing where there was none of it. What went on at the same time counts as often.
    pub fn micros(&self, part: Part) -> Option<u64> {
        let spent = self.spent(part)?;
        (spent.times.load(Relaxed) > 0).then(|| spent.micros.load(Relaxed))
    }

    /// How often there was a part; nothing for never.
    pub fn times(&self, part: Part) -> Option<u64> {
        Some(self.spent(part)?.times.load(Relaxed)).filter(|times| *times > 0)
    }

    /// Adds what a part took once.
    pub fn add(&self, part: Part, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.add_times(part, micros, 1);
    }

    /// Adds all that was done for several operations together, of which this is one.
    pub fn add_all(&self, shared: &Self) {
        for part in [Part::Connection, Part::Sql, Part::Redis, Part::Gateway] {
            if let Some((micros, times)) = shared.micros(part).zip(shared.times(part)) {
                self.add_times(part, micros, times);
            }
        }
    }

    fn add_times(&self, part: Part, micros: u64, times: u64) {
        if let Some(spent) = self.spent(part) {
            spent.micros.fetch_add(micros, Relaxed);
            spent.times.fetch_add(times, Relaxed);
        }
    }

    fn spent(&self, part: Part) -> Option<&Spent> {
        self.spent.get(part as usize)
    }
}

/// Notes that the rules said no to the operation that is going on, and by which code. The first code stands.
pub fn refused(code: &'static str) {
    // Outside of an operation nobody wants to know.
    _ = COURSE.try_with(|course| course.refusal.set(code));
}

/// What Redis is asked.
#[derive(Debug, Clone, Copy)]
pub enum Asked {
    /// A command, by its name.
    Command(&'static str),
    /// A script of ours, by its file's name.
    Script(&'static str),
}

/// Something that an operation does, or waits for.
#[derive(Debug)]
pub struct Step {
    part: Part,
    span: Span,
}

impl Step {
    /// Waiting for something. A trace shows it where it took long enough to be seen.
    pub fn wait(part: Part) -> Self {
        Self { part, span: Span::default() }
    }

    /// Waiting for the journal's next commit.
    pub fn journal() -> Self {
        Self { part: Part::Lane, span: Span::part(|| "enter the journal".to_owned()) }
    }

    /// The span of it, for whoever does it in another task.
    pub fn span(&self) -> Span {
        self.span.clone()
    }

    /// A statement, by its text without parameters, sent to a server.
    pub fn sql(text: &str, host: &str, port: u16) -> Self {
        Self { part: Part::Sql, span: Span::of_sql(text, host, port) }
    }

    /// A call to the Redis server at `host:port`.
    pub fn redis(asked: Asked, address: &str) -> Self {
        Self { part: Part::Redis, span: Span::of_redis(asked, address) }
    }

    /// A verb of the card gateway.
    pub fn gateway(verb: &'static str) -> Self {
        Self { part: Part::Gateway, span: Span::of_gateway(verb) }
    }

    /// Does it. Its time counts for the operation that it belongs to, also when it is given up.
    pub async fn run<T>(&self, work: impl Future<Output = T>) -> T {
        let _timer = Timer { part: self.part, course: Course::current(), began: Instant::now() };
        self.span.run(work).await
    }

    /// Says in a trace how it failed, by a code or a word of ours.
    pub fn failed(&self, how: impl FnOnce() -> String) {
        if self.span.is_on() {
            self.span.fail(how());
        }
    }
}

/// However it ends, and whoever has its span.
impl Drop for Step {
    fn drop(&mut self) {
        self.span.end();
    }
}

/// Counts its time when it is dropped.
struct Timer {
    part: Part,
    course: Option<Arc<Course>>,
    began: Instant,
}

impl Drop for Timer {
    fn drop(&mut self) {
        let took = self.began.elapsed();
        if let Some(course) = &self.course {
            course.add(self.part, took);
        }
        if let Some(name) = self.part.waits().filter(|_| took >= WAIT_SHOWN) {
            Span::past(name, took);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_operation_knows_what_it_was_refused_with_and_what_took_its_time() {
        refused("NOBODY");
        Step::sql("SELECT 1", "localhost", 5432).run(async {}).await;
        let course = Arc::new(Course::default());
        course
            .clone()
            .follow(async {
                refused("SEAT_HELD");
                refused("SEAT_SOLD");
                Step::sql("SELECT 1", "localhost", 5432).run(async {}).await;
                Step::sql("SELECT 1", "localhost", 5432).run(async {}).await;
            })
            .await;
        assert_eq!(course.refusal(), Some("SEAT_HELD"));
        assert_eq!(course.times(Part::Sql), Some(2));
        assert_eq!((course.times(Part::Redis), course.micros(Part::Redis)), (None, None));
    }

    #[test]
    fn what_was_done_together_counts_for_each_and_waiting_only_for_who_waited() {
        let (shared, one) = (Course::default(), Course::default());
        shared.add(Part::Sql, Duration::from_micros(40));
        shared.add(Part::Lane, Duration::from_secs(1));
        one.add(Part::Sql, Duration::from_micros(2));
        one.add_all(&shared);
        assert_eq!((one.micros(Part::Sql), one.times(Part::Sql)), (Some(42), Some(2)));
        assert_eq!(one.micros(Part::Lane), None);
    }
}
