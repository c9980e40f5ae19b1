//! Who shares a group, who waits, and what is left when a lane dies.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

use futures_util::future::join_all;
use tokio::sync::Semaphore;

use super::*;

/// What a request does to the group that it is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Nature {
    Plain,
    /// A constraint refuses it, and with it the whole group.
    Poison,
    /// Postgres goes away.
    Away,
    /// The answer is lost.
    Lost,
    /// The lane panics.
    Deadly,
}

#[derive(Debug, Clone)]
struct Request {
    n: usize,
    nature: Nature,
    alone: Vec<&'static str>,
    shared: Vec<&'static str>,
}

fn plain(n: usize) -> Request {
    Request { n, nature: Nature::Plain, alone: Vec::new(), shared: Vec::new() }
}

/// What was done, for the test to read.
#[derive(Debug, Default)]
struct Done {
    groups: Mutex<Vec<Vec<usize>>>,
    told: Mutex<Vec<usize>>,
    under_way: Mutex<Vec<&'static str>>,
}

impl Done {
    fn groups(&self) -> Vec<Vec<usize>> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn told(&self) -> Vec<usize> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Serves a group for each permit of its gate.
struct Work {
    gate: Arc<Semaphore>,
    done: Arc<Done>,
}

impl GroupWork for Work {
    type Request = Request;
    type Outcome = usize;
    type Key = &'static str;

    fn claims(&self, request: &Request) -> Claims<&'static str> {
        Claims { alone: request.alone.clone(), shared: request.shared.clone() }
    }

    #[expect(clippy::panic, reason = "that is what is tried")]
    async fn serve(&self, group: &[Request]) -> Result<Vec<usize>, Fault> {
        self.done.groups.lock().unwrap().push(group.iter().map(|request| request.n).collect());
        let keys: HashSet<&'static str> =
            group.iter().flat_map(|of| of.alone.iter().chain(&of.shared)).copied().collect();
        let alone: Vec<_> = group.iter().flat_map(|of| &of.alone).collect();
        assert_eq!(alone.iter().collect::<HashSet<_>>().len(), alone.len(), "alone twice");
        {
            let mut under_way = self.done.under_way.lock().unwrap();
            assert!(!under_way.iter().any(|key| keys.contains(key)), "under way twice");
            under_way.extend(&keys);
        }
        self.gate.acquire().await.unwrap().forget();
        self.done.under_way.lock().unwrap().retain(|key| !keys.contains(key));
        let has = |nature| group.iter().any(|request| request.nature == nature);
        match () {
            () if has(Nature::Deadly) => panic!("planted"),
            () if has(Nature::Poison) => Err(Fault::internal("planted")),
            () if has(Nature::Away) => Err(Fault::unavailable("planted")),
            () if has(Nature::Lost) => Err(Fault::alike(FaultKind::Unanswered, "planted")),
            () => Ok(group.iter().map(|request| request.n * 10).collect()),
        }
    }

    async fn tell(&self, group: &[Request], outcomes: &[usize]) {
        assert_eq!(group.len(), outcomes.len());
        self.done.told.lock().unwrap().extend(group.iter().map(|request| request.n));
    }
}

struct Scene {
    lanes: Lanes<Work>,
    gate: Arc<Semaphore>,
    done: Arc<Done>,
    metrics: Metrics,
}

fn scene(patience: Duration) -> Scene {
    let (gate, done) = (Arc::new(Semaphore::new(0)), Arc::<Done>::default());
    let metrics = Metrics::new();
    let settings = LaneSettings { name: "holds", task: "serving holds", patience };
    let work = Work { gate: gate.clone(), done: done.clone() };
    let lanes = Lanes::start(work, &settings, &metrics, &Tasks::new(&metrics));
    Scene { lanes, gate, done, metrics }
}

const LONG: Duration = Duration::from_secs(60);

impl Scene {
    /// Asks beside the test; the answer, later.
    fn ask(&self, request: Request) -> tokio::task::JoinHandle<Result<usize, FaultKind>> {
        let lanes = self.lanes.clone();
        tokio::spawn(async move { lanes.ask(request).await.map_err(|fault| fault.kind()) })
    }

    async fn until(&self, happened: impl Fn(&Self) -> bool + Send + Sync) {
        let soon = async {
            while !happened(self) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), soon).await.expect("it did not happen");
    }

    /// Keeps all lanes busy, with requests numbered from 1000.
    async fn occupied(&self) {
        for n in 0..LANES {
            drop(self.ask(plain(1_000 + n)));
            self.until(|it| it.done.groups().len() == n + 1).await;
        }
    }

    /// Asks, and waits until the request stands in line.
    async fn asked(
        &self,
        requests: Vec<Request>,
    ) -> Vec<tokio::task::JoinHandle<Result<usize, FaultKind>>> {
        let mut answers = Vec::new();
        for request in requests {
            let before = self.lanes.desk.line.length();
            answers.push(self.ask(request));
            self.until(|it| it.lanes.desk.line.length() == before + 1).await;
        }
        answers
    }

    /// The groups that came after those that kept the lanes busy.
    fn later(&self) -> Vec<Vec<usize>> {
        self.done.groups().split_off(LANES)
    }
}

async fn answers(
    of: Vec<tokio::task::JoinHandle<Result<usize, FaultKind>>>,
) -> Vec<Result<usize, FaultKind>> {
    join_all(of).await.into_iter().map(Result::unwrap).collect()
}

#[tokio::test]
async fn who_finds_a_lane_free_is_served_at_once_and_told_of_before_the_answer() {
    let scene = scene(LONG);
    scene.gate.add_permits(1);
    assert_eq!(scene.ask(plain(7)).await.unwrap(), Ok(70));
    assert_eq!((scene.done.groups(), scene.done.told()), (vec![vec![7]], vec![7]));
    let page = scene.metrics.render();
    assert!(page.contains("frontrow_lane_groups_count{lane=\"holds\"} 1"), "{page}");
}

#[tokio::test]
async fn what_arrives_while_all_lanes_are_busy_shares_a_group_in_order_and_up_to_its_size() {
    let scene = scene(LONG);
    scene.occupied().await;
    let asked = scene.asked((0..GROUP + 3).map(plain).collect()).await;
    assert_eq!(scene.later(), Vec::<Vec<usize>>::new());
    scene.gate.add_permits(LANES + 2);
    let expected: Vec<_> = (0..GROUP + 3).map(|n| Ok(n * 10)).collect();
    assert_eq!(answers(asked).await, expected);
    assert_eq!(scene.later(), [(0..GROUP).collect::<Vec<_>>(), (GROUP..GROUP + 3).collect()]);
}

#[tokio::test]
async fn what_must_be_alone_waits_and_what_may_be_shared_is_in_one_group_only() {
    let scene = scene(LONG);
    let person = |n, seat| Request { alone: vec!["person"], shared: vec![seat], ..plain(n) };
    let seat = |n, seat| Request { shared: vec![seat], ..plain(n) };
    let mut asked = vec![scene.ask(person(0, "a"))];
    scene.until(|it| it.done.groups().len() == 1).await;
    // A lane is free, and yet these have to wait: 1 for the person, 2 for the seat, 3 for what 1 waits with.
    asked.extend(scene.asked(vec![person(1, "b"), seat(2, "a"), seat(3, "b")]).await);
    // Nobody else does.
    asked.push(scene.ask(seat(4, "c")));
    scene.until(|it| it.done.groups().len() == 2).await;
    assert_eq!(scene.done.groups(), [[0], [4]]);
    asked.extend(scene.asked(vec![seat(5, "b"), person(6, "d"), seat(7, "d")]).await);
    scene.gate.add_permits(100);
    let expected: Vec<_> = (0..8).map(|n| Ok(n * 10)).collect();
    assert_eq!(answers(asked).await, expected);
    let groups = scene.done.groups();
    assert_eq!(groups.len(), 4, "{groups:?}");
    assert_eq!(groups[2..], [vec![1, 2, 3, 5], vec![6, 7]]);
}

#[tokio::test]
async fn one_that_a_constraint_refuses_costs_the_others_nothing() {
    let scene = scene(LONG);
    scene.occupied().await;
    let mut requests: Vec<_> = (0..8).map(plain).collect();
    requests[5].nature = Nature::Poison;
    let asked = scene.asked(requests).await;
    scene.gate.add_permits(100);
    for (n, answer) in answers(asked).await.into_iter().enumerate() {
        assert_eq!(answer, if n == 5 { Err(FaultKind::Internal) } else { Ok(n * 10) });
    }
    let mut told = scene.done.told();
    told.retain(|n| *n < 1_000);
    assert_eq!(told.len(), 7);
}

#[tokio::test]
async fn everybody_is_told_when_postgres_is_away_or_its_answer_lost() {
    for (nature, kind) in
        [(Nature::Away, FaultKind::Unavailable), (Nature::Lost, FaultKind::Unanswered)]
    {
        let scene = scene(LONG);
        scene.occupied().await;
        let mut requests: Vec<_> = (0..8).map(plain).collect();
        requests[2].nature = nature;
        let asked = scene.asked(requests).await;
        scene.gate.add_permits(LANES + 1);
        assert_eq!(answers(asked).await, [Err(kind); 8]);
        assert_eq!(scene.later(), [(0..8).collect::<Vec<_>>()], "tried once");
    }
}

#[tokio::test]
async fn a_lane_that_dies_leaves_nobody_waiting_and_nothing_claimed() {
    let scene = scene(LONG);
    scene.occupied().await;
    let mut requests: Vec<_> = (0..3).map(|n| Request { alone: vec!["p"], ..plain(n) }).collect();
    requests[0].nature = Nature::Deadly;
    requests[1].alone = vec!["q"];
    let asked = scene.asked(requests).await;
    scene.gate.add_permits(100);
    // The third waited for the first.
    let lost = Err(FaultKind::Unanswered);
    assert_eq!(answers(asked).await, [lost, lost, Ok(20)]);
    // All lanes are back: each takes one.
    scene.until(|it| it.lanes.desk.tasks.ailing().is_none()).await;
    scene.gate.forget_permits(1_000);
    let before = scene.done.groups().len();
    let mut asked = Vec::new();
    for n in 0..LANES {
        asked.push(scene.ask(plain(n)));
        scene.until(|it| it.done.groups().len() == before + n + 1).await;
    }
    scene.gate.add_permits(LANES);
    assert_eq!(answers(asked).await, (0..LANES).map(|n| Ok(n * 10)).collect::<Vec<_>>());
}

#[tokio::test]
async fn who_hangs_up_is_served_and_told_of_all_the_same() {
    let scene = scene(LONG);
    scene.occupied().await;
    for asked in scene.asked(vec![plain(1), plain(2)]).await {
        asked.abort();
        assert!(asked.await.unwrap_err().is_cancelled());
    }
    scene.gate.add_permits(100);
    scene.until(|it| it.done.told().windows(2).any(|two| two == [1, 2])).await;
}

#[tokio::test]
async fn nobody_waits_for_lanes_that_stand_still_and_nothing_is_done_for_them() {
    let scene = scene(Duration::from_millis(20));
    scene.occupied().await;
    assert_eq!(scene.ask(plain(1)).await.unwrap(), Err(FaultKind::Unavailable));
    assert_eq!(scene.lanes.desk.line.length(), 0);
    scene.gate.add_permits(100);
    assert_eq!(scene.ask(plain(2)).await.unwrap(), Ok(20));
    assert_eq!(scene.later(), [[2]]);
}

#[tokio::test]
async fn a_lane_that_has_a_request_is_waited_for() {
    let scene = scene(SOON * 4);
    let mut asked = Vec::new();
    for n in 0..LANES {
        asked.push(scene.ask(plain(n)));
        scene.until(|it| it.done.groups().len() == n + 1).await;
    }
    // Others lose their patience meanwhile.
    for n in 5..10 {
        assert_eq!(scene.ask(plain(n)).await.unwrap(), Err(FaultKind::Unavailable));
    }
    scene.gate.add_permits(100);
    assert_eq!(answers(asked).await, (0..LANES).map(|n| Ok(n * 10)).collect::<Vec<_>>());
}

#[test]
fn a_line_that_is_full_takes_nobody_and_one_who_leaves_makes_room() {
    let line = Line::<Work>::new(2);
    let join = |n| {
        let claims = Claims { alone: Vec::new(), shared: Vec::new() };
        line.join(plain(n), claims, oneshot::channel().0, Span::default())
    };
    let (first, second) = (join(1).unwrap(), join(2).unwrap());
    assert_eq!(join(3), None);
    assert!(line.leave(first) && !line.leave(first));
    let third = join(3).unwrap();
    assert!(line.leave(third) && line.leave(second));
    assert_eq!(line.length(), 0);
}

#[tokio::test]
async fn lanes_end_when_nobody_can_ask_any_more() {
    let scene = scene(LONG);
    let desk = Arc::downgrade(&scene.lanes.desk);
    scene.gate.add_permits(1);
    assert_eq!(scene.ask(plain(1)).await.unwrap(), Ok(10));
    drop(scene);
    let gone = async {
        while desk.upgrade().is_some() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), gone).await.expect("the lanes live on");
}
