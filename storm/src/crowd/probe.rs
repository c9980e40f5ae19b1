//! Whether the server is well, told by buying something; and how long strangers wait while one wallet is locked.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use stampede::measure::{Op, Times};
use tokio::{
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::{Instant, MissedTickBehavior, interval, sleep, timeout},
};

use super::{
    scene::{Person, Phase, Programme, Scene},
    settle::{Client, Reply, Settled},
};
use crate::history::Act;

/// Between two looks at a place in line.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// A probe that has not been admitted by then begins anew.
const PATIENCE: Duration = Duration::from_secs(15);
/// How often a stranger comes, to each instance.
const STRANGERS_EVERY: Duration = Duration::from_millis(100);
/// How many requests there are for the locked wallet.
const HOT_REQUESTS: usize = 40;

/// People who look whether the server is well. They take turns.
#[derive(Debug)]
pub(crate) struct Probes {
    scene: Arc<Scene>,
    programme: watch::Receiver<Programme>,
    people: Vec<Person>,
    next: AtomicUsize,
}

impl Probes {
    pub(crate) const fn new(
        scene: Arc<Scene>,
        programme: watch::Receiver<Programme>,
        people: Vec<Person>,
    ) -> Self {
        Self { scene, programme, people, next: AtomicUsize::new(0) }
    }

    /// Somebody who has nothing else to do, and a number that nobody had before.
    fn somebody(&self) -> Option<(Person, usize)> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let person = self.people.get(number.checked_rem(self.people.len())?)?.clone();
        Some((person, number))
    }

    /// Buys a seat at one instance and at no other, from the line to the payment. Goes on in the background, since what was
    /// begun has to be settled; the task tells how long it took, or nothing if the storm was over first.
    pub(crate) fn buy(self: &Arc<Self>, instance: usize) -> JoinHandle<Option<Duration>> {
        let probes = self.clone();
        tokio::spawn(async move {
            let start = Instant::now();
            let (person, number) = probes.somebody()?;
            let client = Client::pinned(probes.scene.clone(), person, instance);
            while !probes.bought(&client, number).await {
                if probes.scene.phase() > Phase::Playing {
                    return None;
                }
                sleep(LOOK_EVERY).await;
            }
            Some(start.elapsed())
        })
    }

    async fn bought(&self, client: &Client, number: usize) -> bool {
        let show = self.programme.borrow().quiet.clone();
        let schedule = show.id.clone();
        let enter = Act::Enter { schedule: schedule.clone() };
        let Settled::Done(Reply::Place(place)) = client.settle(&show, 0, enter, "").await else {
            return false;
        };
        let start = Instant::now();
        let mut status = place.status.clone();
        while status == "WAITING" {
            if start.elapsed() > PATIENCE || self.scene.phase() > Phase::Playing {
                return false;
            }
            sleep(LOOK_EVERY).await;
            let looked = client.api(&show, 0).status(Op::Poll, &client.person.session).await;
            status = looked.ok().flatten().map_or(status, |place| place.status);
        }
        let token = place.token.unwrap_or_default();
        let hold = Act::Hold { schedule: schedule.clone(), seat: None };
        let held = client.settle(&show, 0, hold, &token).await;
        let mut paid = false;
        if let Settled::Done(Reply::Reservation(held)) = held {
            let amount = held.total_price;
            let key = format!("probe-charge-{number}-{}", held.id);
            let charge = Act::Charge { amount, key };
            let charged = client.settle(&show, 0, charge, "").await;
            let key = format!("probe-pay-{number}");
            let pay = Act::Pay { reservation: held.id, amount, key };
            paid = matches!(charged, Settled::Done(_))
                && matches!(client.settle(&show, 0, pay, "").await, Settled::Done(_));
        }
        client.settle(&show, 0, Act::Leave { schedule }, "").await;
        paid
    }

    /// Forty requests at once for one person's wallet, at both instances, each until it is done.
    pub(crate) fn crowd_one_wallet(self: &Arc<Self>, person: &Person) -> JoinSet<()> {
        let round = self.next.fetch_add(1, Ordering::Relaxed);
        let mut asking = JoinSet::new();
        for turn in 0..HOT_REQUESTS {
            let client = Client::new(self.scene.clone(), person.clone());
            let show = self.programme.borrow().quiet.clone();
            let charge = Act::Charge { amount: 1, key: format!("hot-{round}-{turn}") };
            asking.spawn(async move {
                client.settle(&show, turn, charge, "").await;
            });
        }
        asking
    }

    /// How long people wait who have nothing to do with any of it: each reads a balance, or charges, at either instance.
    /// They come at fixed times, whether those before them were served or not.
    pub(crate) async fn strangers(self: &Arc<Self>, lasts: Duration) -> Times {
        let mut ticks = interval(STRANGERS_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let start = Instant::now();
        let mut asking = Vec::new();
        while start.elapsed() < lasts {
            ticks.tick().await;
            for instance in 0..2 {
                let asked = Instant::now();
                asking.push((asked, tokio::spawn(self.clone().stranger(instance))));
            }
        }
        let mut times = Times::new();
        for (asked, mut task) in asking {
            // A probe that has not been served by now may have to wait for what only ends after this. Its wait counts as far
            // as it got, and what it asked for is settled in the background.
            match timeout(Duration::ZERO, &mut task).await {
                Ok(took) => took.ok().flatten().into_iter().for_each(|took| times.record(took)),
                Err(_) => times.record(asked.elapsed()),
            }
        }
        times
    }

    async fn stranger(self: Arc<Self>, instance: usize) -> Option<Duration> {
        let (person, number) = self.somebody()?;
        let show = self.programme.borrow().quiet.clone();
        let client = Client::pinned(self.scene.clone(), person, instance);
        let start = Instant::now();
        if number % 2 == 0 {
            let charge = Act::Charge { amount: 1, key: format!("stranger-{number}") };
            client.settle(&show, instance, charge, "").await;
        } else {
            // A failure counts with the time until somebody says so; asking again is part of it.
            while client.api(&show, instance).balance(&client.person.session).await.is_err() {
                if self.scene.phase() == Phase::Over {
                    return None;
                }
                sleep(LOOK_EVERY).await;
            }
        }
        Some(start.elapsed())
    }
}
