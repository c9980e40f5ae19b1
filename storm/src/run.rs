//! A storm from the first process to the last.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use sqlx::PgConnection;
use stampede::{interrupt, sessions};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use crate::{
    Result,
    check::{books::Books, examine, plant::Loss},
    crowd::{
        fan::Fan,
        probe::Probes,
        scene::{Person, Phase, Scene},
        settle::{Client, Settled},
        shows::Office,
    },
    fault::{
        Tools,
        deck::{Deck, Turn},
        kind::Kind,
        missing,
        weather::{Spell, spell},
    },
    history::{Act, Entry, History, Outcome, Tally},
    options::Options,
    report::Report,
    site::{Site, instance::ready, place::Place},
};

/// People who look whether the server is well, or who are strangers to a locked wallet.
const PROBES: usize = 40;
/// How long the first purchases may take.
const WARM_UP: Duration = Duration::from_secs(60);
/// How long fans may take to bring to an end what they have begun.
const CURFEW: Duration = Duration::from_secs(60);
/// How long the last requests may take after that.
const LAST_ORDERS: Duration = Duration::from_secs(20);
/// How long the crowd plays in a self-test at most, until everything has happened that a loss can be planted on.
const REHEARSAL: Duration = Duration::from_secs(90);
/// What is done so often at least before losses are planted.
const EACH: usize = 5;
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Everything of a storm that is under way.
struct Storm {
    site: Site,
    scene: Arc<Scene>,
    tools: Tools,
    phase: watch::Sender<Phase>,
    crowd: JoinSet<()>,
}

/// Has a storm; whether everything held.
///
/// # Errors
/// When it could not begin, or could not go on.
pub(crate) async fn run(options: &Options) -> Result<bool> {
    let seed = options.seed.unwrap_or_else(|| fastrand::u64(0..1_000_000));
    let (stopping, stop) = watch::channel(false);
    interrupt::hear(move || {
        stopping.send_replace(true);
        eprintln!(
            "The storm abates, and the books are read; press Ctrl-C again to stop without a report."
        );
    })?;
    let place = Place::make(options.machine.owner)?;
    let folder = place.folder.clone();
    eprintln!("Seed {seed}, in {}.", folder.display());
    let passed = storm(options, seed, place, stop).await;
    match &passed {
        Ok(true) if !options.keep => {}
        _ => eprintln!("History, logs and data: {}", folder.display()),
    }
    passed
}

async fn storm(
    options: &Options,
    seed: u64,
    place: Place,
    stop: watch::Receiver<bool>,
) -> Result<bool> {
    let mut storm = Storm::begin(options, seed, place, stop).await?;
    let mut report = Report::default();
    if options.self_test {
        storm.rehearse().await?;
    } else if let Err(error) = storm.blow(options, seed, &mut report).await {
        // What was acknowledged until then can be looked up all the same.
        report.faults.push(format!("the storm could not go on: {error}"));
    }
    storm.abate().await;
    let entries = storm.scene.history.entries();
    for entry in &entries {
        report.total.count(&entry.outcome);
    }
    if options.self_test {
        storm.test_itself(&entries, &mut report).await?;
    } else {
        storm.plant(&options.plant).await?;
    }
    storm.check(&entries, &mut report).await?;
    crate::print(&report.text());
    let holds = report.holds();
    storm.site.end(options.keep || !holds).await?;
    Ok(holds)
}

impl Storm {
    /// Starts everything, and sends the crowd in.
    async fn begin(
        options: &Options,
        seed: u64,
        place: Place,
        stop: watch::Receiver<bool>,
    ) -> Result<Self> {
        let fans = usize::from(options.fans);
        let site = Site::make(place, &options.machine, fans + PROBES + 1).await?;
        let history = History::write_to(&site.place.path("history.jsonl"))?;
        let (phase, phases) = watch::channel(Phase::Playing);
        let addresses = site.instances.each_ref().map(|instance| instance.address);
        let scene = Arc::new(Scene::new(history, addresses, phases)?);
        let office = Office::open(scene.clone()).await?;
        let (programme, programmes) = watch::channel(office.programme());
        let mut people = people(&site)?;
        let hot = people.pop().ok_or("nobody")?;
        let watchers = people.split_off(people.len().saturating_sub(PROBES));
        let probes = Arc::new(Probes::new(scene.clone(), programmes.clone(), watchers));
        let mut crowd = JoinSet::new();
        crowd.spawn(office.run(programme));
        // A wallet that can be locked.
        let client = Client::new(scene.clone(), hot.clone());
        let show = programmes.borrow().quiet.clone();
        let charge = Act::Charge { amount: 1, key: "first".to_owned() };
        let Settled::Done(_) = client.settle(&show, 0, charge, "").await else {
            return Err("nobody can charge".into());
        };
        for instance in 0..2 {
            let bought = timeout(WARM_UP, probes.buy(instance)).await;
            bought.map_err(|_| format!("nobody can buy at instance {}", instance + 1))??;
        }
        for (number, person) in (0_u64..).zip(people) {
            let seed = seed.wrapping_mul(1_000).wrapping_add(number);
            crowd.spawn(Fan::new(scene.clone(), person, programmes.clone(), seed).live());
        }
        Ok(Self { site, scene, tools: Tools { probes, hot, stop }, phase, crowd })
    }

    /// One fault after the other until the time is over.
    async fn blow(&mut self, options: &Options, seed: u64, report: &mut Report) -> Result<()> {
        let kinds = if options.only.is_empty() { Kind::all() } else { options.only.clone() };
        let mut possible = BTreeSet::new();
        for kind in kinds {
            match missing(&self.site, kind) {
                None => drop(possible.insert(kind)),
                Some(why) => {
                    eprintln!("{}: skipped: {why}", kind.name());
                    report.skipped.push((kind, why));
                }
            }
        }
        let until = Instant::now() + Duration::from_secs(options.seconds);
        // Dealt from all kinds, so that a seed means the same wherever it is used.
        let deck = Deck::new(seed, &options.only).filter(|turn| possible.contains(&turn.kind));
        for turn in deck.take_while(|_| !possible.is_empty()) {
            if self.tools.stopped() || Instant::now() >= until {
                break;
            }
            let spell = spell(&mut self.site, &self.scene, &self.tools, turn).await?;
            tell(turn, &spell);
            report.spells.push((turn, spell));
        }
        let had: BTreeSet<_> = report.spells.iter().map(|(turn, _)| turn.kind).collect();
        let missed: Vec<_> = possible.difference(&had).map(|kind| kind.name()).collect();
        if !missed.is_empty() {
            eprintln!("The time did not suffice for: {}.", missed.join(", "));
        }
        Ok(())
    }

    /// Lets the crowd play in calm weather until everything has happened a few times.
    async fn rehearse(&self) -> Result<()> {
        const ACTS: [&str; 6] =
            ["enterQueue", "leaveQueue", "holdSeat", "charge", "pay", "cancelReservation"];
        let start = Instant::now();
        loop {
            let entries = self.scene.history.entries();
            let done = |name: &str| {
                let acts = entries.iter().filter(|entry| entry.act.name() == name);
                acts.filter(|entry| matches!(entry.outcome, Outcome::Done { .. })).count()
            };
            if ACTS.iter().all(|name| done(name) >= EACH) && refunds(&entries) >= EACH {
                return Ok(());
            }
            if start.elapsed() > REHEARSAL || self.tools.stopped() {
                return Err("the crowd did not get far enough to plant losses".into());
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Everybody goes home; what has not been settled by then stays open.
    async fn abate(&mut self) {
        self.phase.send_replace(Phase::Closing);
        let scene = self.scene.clone();
        // Purchases to look whether the server is well, and requests for a locked wallet, run apart from the crowd.
        let quiet = async || {
            while scene.history.under_way() > 0 {
                sleep(LOOK_EVERY).await;
            }
        };
        let home = async {
            while self.crowd.join_next().await.is_some() {}
            quiet().await;
        };
        let home_in_time = timeout(CURFEW, home).await.is_ok();
        self.phase.send_replace(Phase::Over);
        if !home_in_time {
            drop(timeout(LAST_ORDERS, quiet()).await);
        }
        self.crowd.abort_all();
    }

    async fn books(&self) -> Result<Books> {
        let mut session = self.site.postgres.session().await?;
        sqlx::query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            .execute(&mut session)
            .await?;
        Books::read(&mut session).await
    }

    /// Every check, the server's own audit, and whether both instances are ready.
    async fn check(&self, entries: &[Entry], report: &mut Report) -> Result<()> {
        report.checks.extend(examine(entries, &self.books().await?));
        if let Err(error) = self.site.audit().await {
            report.faults.push(format!("frontrow audit: {error}"));
        }
        for instance in &self.site.instances {
            if !ready(instance.address).await {
                report.faults.push(format!("instance {} is not ready in the end", instance.number));
            }
        }
        Ok(())
    }

    /// Losses that somebody asked for; they stay.
    async fn plant(&self, losses: &[Loss]) -> Result<()> {
        let mut session = self.site.postgres.session().await?;
        for loss in Loss::spelt_out(losses) {
            sqlx::query("BEGIN").execute(&mut session).await?;
            let row = loss.plant(&mut session).await?;
            sqlx::query("COMMIT").execute(&mut session).await?;
            eprintln!("Planted: {} ({row}).", loss.name());
        }
        Ok(())
    }

    /// Plants every loss there is, looks whether it is found, and takes it back.
    async fn test_itself(&self, entries: &[Entry], report: &mut Report) -> Result<()> {
        let mut session = self.site.postgres.session().await?;
        for loss in Loss::spelt_out(&[Loss::All]) {
            sqlx::query("BEGIN").execute(&mut session).await?;
            let found = find(loss, entries, &mut session).await;
            sqlx::query("ROLLBACK").execute(&mut session).await?;
            match found? {
                Some(row) => eprintln!("Found: {}: {row}", loss.name()),
                None => {
                    report.faults.push(format!("the planted loss {} was not found", loss.name()))
                }
            }
        }
        Ok(())
    }
}

/// What the check that has to find a loss says of it.
async fn find(loss: Loss, entries: &[Entry], session: &mut PgConnection) -> Result<Option<String>> {
    loss.plant(&mut *session).await?;
    let checks = examine(entries, &Books::read(session).await?);
    let check = checks.into_iter().find(|check| check.name == loss.found_by());
    Ok(check.and_then(|check| check.faults.into_iter().next()))
}

/// How many cancelled reservations had been paid.
fn refunds(entries: &[Entry]) -> usize {
    let done = || entries.iter().filter(|entry| matches!(entry.outcome, Outcome::Done { .. }));
    let paid: BTreeSet<&str> = done()
        .filter_map(|entry| match &entry.act {
            Act::Pay { reservation, .. } => Some(reservation.as_str()),
            _ => None,
        })
        .collect();
    let back = done().filter(|entry| match &entry.act {
        Act::Cancel { reservation } => paid.contains(reservation.as_str()),
        _ => false,
    });
    back.count()
}

/// Everybody who has a session.
fn people(site: &Site) -> Result<Vec<Person>> {
    let file = site.sessions();
    let ids = sessions::people(&file, None)?;
    let sessions = sessions::read(&file, None)?;
    let person = |(id, session): (Option<uuid::Uuid>, String)| {
        id.map(|id| Person { id: id.to_string(), session })
    };
    ids.into_iter()
        .zip(sessions)
        .map(person)
        .collect::<Option<_>>()
        .ok_or_else(|| "a session of nobody".into())
}

/// A line while it goes on.
fn tell(turn: Turn, spell: &Spell) {
    let name = turn.kind.name();
    let instance = turn.kind.chooses_one().then(|| format!(" (instance {})", turn.victim + 1));
    let which = instance.unwrap_or_default();
    let Tally { done, refused, failed, unanswered } = spell.tally;
    let outcome = spell.recovered.map_or_else(
        || "not well again by itself".to_owned(),
        |took| format!("well again after {:.1} s", took.as_secs_f64()),
    );
    eprintln!(
        "{name}{which}: {outcome}; {done} done, {refused} refused, {failed} failed, {unanswered} not answered"
    );
    for line in spell.notes.iter().chain(&spell.faults) {
        eprintln!("    {line}");
    }
}
