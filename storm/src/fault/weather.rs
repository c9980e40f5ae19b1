//! One fault from its beginning until the server is well again, and what held.

use std::{sync::Arc, time::Duration};

use stampede::measure::Spread;
use tokio::time::{Instant, sleep, timeout};

use super::{Told, Tools, begin, deck::Turn, end, kind::Meanwhile, last};
use crate::{
    Result,
    crowd::{probe::Probes, scene::Scene},
    history::Tally,
    site::{Site, instance::ready},
};

/// How long somebody may need to buy something while a fault lasts that has nothing to do with them.
const MEANWHILE: Duration = Duration::from_secs(10);
/// A busy machine makes everything late, not only recovery: each limit is longer by this many times what buying took just
/// before.
const ALLOWANCE: u32 = 3;
/// What is not bought in calm weather within this time counts with this time.
const USUAL_MAX: Duration = Duration::from_secs(10);
/// Those who buy meanwhile begin when the fault has had some time to be felt.
const FELT: Duration = Duration::from_millis(300);
/// How long recovery is watched beyond its limit before the instances are started anew.
const GIVE_UP: Duration = Duration::from_secs(45);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Strangers' 99th percentile, in milliseconds, while a wallet is locked that is not theirs: this much, or this many times
/// what is usual on this machine, if that is more.
const STRANGERS_P99_MS: f64 = 100.0;
const STRANGERS_TIMES: f64 = 3.0;

/// What came of one fault.
#[derive(Debug, Default)]
pub(crate) struct Spell {
    /// From the end of the fault until both instances were ready and had sold something.
    pub(crate) recovered: Option<Duration>,
    pub(crate) tally: Tally,
    pub(crate) notes: Vec<String>,
    /// What did not hold.
    pub(crate) faults: Vec<String>,
}

/// Has a fault, and waits until all is well again.
///
/// # Errors
/// When the storm cannot go on.
pub(crate) async fn spell(
    site: &mut Site,
    scene: &Arc<Scene>,
    tools: &Tools,
    turn: Turn,
) -> Result<Spell> {
    let mut spell = Spell::default();
    tools.sleep(turn.calm).await;
    let allowance = usual(&tools.probes).await * ALLOWANCE;
    let from = scene.clock.now();
    let mut begun = begin(site, tools, turn).await?;
    let buying = buy_meanwhile(&tools.probes, turn, MEANWHILE + allowance);
    let (told, bought) = tokio::join!(last(site, tools, turn, &mut begun), buying);
    let told = told?;
    end(site, turn, begun).await?;
    spell.faults.extend(bought.err());
    spell.notes.extend(told.note);
    spell.faults.extend(told.fault);
    let within = turn.kind.sheet().recovers + allowance;
    recover(site, &tools.probes, within, &mut spell).await?;
    spell.tally = scene.history.tally(from, scene.clock.now());
    Ok(spell)
}

/// How long buying takes in calm weather.
async fn usual(probes: &Arc<Probes>) -> Duration {
    let bought = async { tokio::join!(probes.buy(0), probes.buy(1)) };
    let Ok((one, other)) = timeout(USUAL_MAX, bought).await else { return USUAL_MAX };
    let took = |bought: std::result::Result<Option<Duration>, _>| bought.ok().flatten();
    took(one).max(took(other)).unwrap_or(USUAL_MAX)
}

/// Somebody buys at each instance that must sell while the fault lasts.
async fn buy_meanwhile(
    probes: &Arc<Probes>,
    turn: Turn,
    within: Duration,
) -> std::result::Result<(), String> {
    let instances = match turn.kind.sheet().meanwhile {
        Meanwhile::Nobody => vec![],
        Meanwhile::ElsewhereOnly => vec![1 - turn.victim % 2],
        Meanwhile::Everybody => vec![0, 1],
    };
    if instances.is_empty() {
        return Ok(());
    }
    sleep(FELT).await;
    for (instance, buying) in
        instances.into_iter().map(|at| (at + 1, probes.buy(at))).collect::<Vec<_>>()
    {
        match timeout(within, buying).await {
            Ok(Ok(Some(_))) => {}
            _ => {
                return Err(format!(
                    "nobody could buy at instance {instance} within {:.1} s while it lasted",
                    within.as_secs_f64()
                ));
            }
        }
    }
    Ok(())
}

/// Waits until both instances are ready and have sold something, and starts them anew where they do not come back.
async fn recover(
    site: &mut Site,
    probes: &Arc<Probes>,
    within: Duration,
    spell: &mut Spell,
) -> Result<()> {
    for instance in &mut site.instances {
        if instance.is_gone() {
            spell.faults.push(format!("instance {} ended by itself", instance.number));
            instance.start(&site.place).await?;
        }
    }
    let start = Instant::now();
    let well = timeout(within + GIVE_UP, well(site, probes)).await;
    if well.is_ok() {
        let took = start.elapsed();
        spell.recovered = Some(took);
        if took > within {
            spell.faults.push(format!(
                "well again after {:.1} s, not {:.1} s",
                took.as_secs_f64(),
                within.as_secs_f64()
            ));
        }
        return Ok(());
    }
    spell.faults.push(format!(
        "not well {} s after the fault had ended; the instances were started anew",
        (within + GIVE_UP).as_secs()
    ));
    site.restart_instances().await?;
    let well = timeout(within + GIVE_UP, self::well(site, probes)).await;
    well.map_err(|_| "the server does not come back at all".into())
}

async fn well(site: &Site, probes: &Arc<Probes>) {
    let instance = async |at: usize, address| {
        while !ready(address).await {
            sleep(LOOK_EVERY).await;
        }
        // A task that ends without having bought ends with the storm.
        drop(probes.buy(at).await);
    };
    let [first, second] = &site.instances;
    tokio::join!(instance(0, first.address), instance(1, second.address));
}

/// How strangers fared while a wallet was locked.
pub(super) fn strangers(usual: &Spread, locked: &Spread) -> Told {
    let figures = |spread: &Spread| {
        format!("p50 {:.0}, p99 {:.0}, at most {:.0} ms", spread.p50, spread.p99, spread.max)
    };
    let limit = STRANGERS_P99_MS.max(usual.p99 * STRANGERS_TIMES);
    let slow = locked.p99 > limit;
    Told {
        note: Some(format!(
            "strangers: {} ({} requests); usually {}",
            figures(locked),
            locked.count,
            figures(usual)
        )),
        fault: slow.then(|| {
            format!("strangers' p99 was {:.0} ms, the limit is {limit:.0} ms", locked.p99)
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(p99: f64) -> Spread {
        Spread { count: 100, p50: 5.0, p90: 10.0, p99, max: p99 }
    }

    #[test]
    fn strangers_may_not_notice_more_than_the_limit_or_a_multiple_of_the_usual() {
        assert!(strangers(&spread(20.0), &spread(99.0)).fault.is_none());
        assert!(strangers(&spread(20.0), &spread(101.0)).fault.is_some());
        assert!(strangers(&spread(50.0), &spread(149.0)).fault.is_none());
        assert!(strangers(&spread(50.0), &spread(151.0)).fault.is_some());
    }
}
