//! The fans: when each comes, and what they will do. Dealt from a seed, so that a rehearsal can be repeated.

use clap::Args;
use fastrand::Rng;

/// When fans arrive.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Curve {
    /// Share of the fans who come before the opening, if that is still ahead.
    #[arg(long, default_value_t = 0.3, value_parser = share, help_heading = "Arrival")]
    pub(crate) early: f64,
    /// Share of the others who come in the rush at the opening.
    #[arg(long, default_value_t = 0.6, value_parser = share, help_heading = "Arrival")]
    pub(crate) rush: f64,
    /// How long the rush lasts, about.
    #[arg(long, default_value_t = 10.0, value_parser = seconds, help_heading = "Arrival")]
    pub(crate) rush_seconds: f64,
    /// The last fan has come this long after the opening.
    #[arg(long, default_value_t = 60.0, value_parser = seconds, help_heading = "Arrival")]
    pub(crate) arrive_seconds: f64,
}

/// What fans do, as shares of all of them.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Crowd {
    /// Watch by subscription; the others poll as often as pollAfterSeconds allows.
    #[arg(long, default_value_t = 0.8, value_parser = share, help_heading = "Waiting")]
    pub(crate) watch: f64,
    /// Give up while they wait.
    #[arg(long, default_value_t = 0.05, value_parser = share, help_heading = "Waiting")]
    pub(crate) leave: f64,
    /// Close the socket while they wait, and come back later.
    #[arg(long, default_value_t = 0.08, value_parser = share, help_heading = "Waiting")]
    pub(crate) away: f64,
    /// Close the socket while they wait, and never come back.
    #[arg(long, default_value_t = 0.04, value_parser = share, help_heading = "Waiting")]
    pub(crate) gone: f64,
    /// Fans who leave or go away do so within this time.
    #[arg(long, default_value_t = 60.0, value_parser = seconds, help_heading = "Waiting")]
    pub(crate) patience_seconds: f64,
    /// Fans who come back do so after about this time.
    #[arg(long, default_value_t = 30.0, value_parser = seconds, help_heading = "Waiting")]
    pub(crate) away_seconds: f64,
    /// Never act once they are let in.
    #[arg(long, default_value_t = 0.05, value_parser = share, help_heading = "Buying")]
    pub(crate) idle: f64,
    /// Aim at the same few front seats.
    #[arg(long, default_value_t = 0.5, value_parser = share, help_heading = "Buying")]
    pub(crate) front: f64,
    /// Let the server choose, by holdBestSeats.
    #[arg(long, default_value_t = 0.1, value_parser = share, help_heading = "Buying")]
    pub(crate) best: f64,
    /// Hold and never pay.
    #[arg(long, default_value_t = 0.05, value_parser = share, help_heading = "Buying")]
    pub(crate) lapse: f64,
    /// Hold, give the hold back, and take another.
    #[arg(long, default_value_t = 0.05, value_parser = share, help_heading = "Buying")]
    pub(crate) regret: f64,
    /// Send each payment twice at once, as an impatient finger does.
    #[arg(long, default_value_t = 0.1, value_parser = share, help_heading = "Buying")]
    pub(crate) double_pay: f64,
    /// What fans think before each step, on average.
    #[arg(long, default_value_t = 1.0, value_parser = seconds, help_heading = "Buying")]
    pub(crate) think_seconds: f64,
}

fn share(text: &str) -> Result<f64, String> {
    let share: f64 = text.parse().map_err(|_| "a share is a number from 0 to 1".to_owned())?;
    if (0.0..=1.0).contains(&share) { Ok(share) } else { Err("a share is from 0 to 1".to_owned()) }
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "seconds are a number".to_owned())?;
    if (0.0..=86_400.0).contains(&seconds) {
        Ok(seconds)
    } else {
        Err("from 0 to 86400 seconds".to_owned())
    }
}

/// What somebody does while waiting, in seconds after entering.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Waiting {
    Stays,
    Leaves { after: f64 },
    GoesAway { after: f64, back_after: Option<f64> },
}

/// What somebody does once let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Buying {
    Pays { twice: bool },
    Lapses,
    Regrets,
    Idles,
}

/// Which seats somebody wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taste {
    Front,
    Anywhere,
    Best,
}

/// One fan's part.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Part {
    /// Seconds after the opening; negative before it.
    pub(crate) arrives: f64,
    pub(crate) watches: bool,
    pub(crate) waiting: Waiting,
    pub(crate) buying: Buying,
    pub(crate) taste: Taste,
    /// Seeds what the fan decides on the way.
    pub(crate) seed: u64,
}

/// Deals everybody's part. `lead` is how many seconds the opening is ahead.
pub(crate) fn deal(count: usize, seed: u64, lead: f64, curve: &Curve, crowd: &Crowd) -> Vec<Part> {
    let mut rng = Rng::with_seed(seed);
    (0..count)
        .map(|_| {
            let arrives = arrival(&mut rng, lead, curve);
            Part { arrives, ..part(&mut rng, crowd) }
        })
        .collect()
}

/// Before the opening more and more come; then a rush that ebbs away, and a tail that thins out.
fn arrival(rng: &mut Rng, lead: f64, curve: &Curve) -> f64 {
    let (kind, at) = (rng.f64(), rng.f64());
    if lead > 0.0 && kind < curve.early {
        return -lead * (1.0 - at.sqrt());
    }
    if rng.f64() < curve.rush {
        // Nine in ten of the rush have come when its time is over.
        let ebb = curve.rush_seconds / 10_f64.ln();
        return (-(1.0 - at).ln() * ebb).min(curve.arrive_seconds.max(curve.rush_seconds));
    }
    curve.arrive_seconds * (1.0 - (1.0 - at).sqrt())
}

fn part(rng: &mut Rng, crowd: &Crowd) -> Part {
    let after = rng.f64() * crowd.patience_seconds;
    let back_after = crowd.away_seconds * (0.5 + rng.f64());
    let waiting = match pick(rng, &[crowd.leave, crowd.away, crowd.gone]) {
        Some(0) => Waiting::Leaves { after },
        Some(1) => Waiting::GoesAway { after, back_after: Some(back_after) },
        Some(2) => Waiting::GoesAway { after, back_after: None },
        _ => Waiting::Stays,
    };
    let twice = rng.f64() < crowd.double_pay;
    let buying = match pick(rng, &[crowd.idle, crowd.lapse, crowd.regret]) {
        Some(0) => Buying::Idles,
        Some(1) => Buying::Lapses,
        Some(2) => Buying::Regrets,
        _ => Buying::Pays { twice },
    };
    let taste = match pick(rng, &[crowd.front, crowd.best]) {
        Some(0) => Taste::Front,
        Some(1) => Taste::Best,
        _ => Taste::Anywhere,
    };
    let watches = rng.f64() < crowd.watch;
    Part { arrives: 0.0, watches, waiting, buying, taste, seed: rng.u64(..) }
}

/// The index of the share that a throw falls into; `None` for what the shares leave.
fn pick(rng: &mut Rng, shares: &[f64]) -> Option<usize> {
    let mut thrown = rng.f64();
    shares.iter().position(|share| {
        thrown -= share;
        thrown < 0.0
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        curve: Curve,
        #[command(flatten)]
        crowd: Crowd,
    }

    fn dealt(seed: u64, lead: f64) -> Vec<Part> {
        let Line { curve, crowd } = Line::parse_from(["x"]);
        deal(10_000, seed, lead, &curve, &crowd)
    }

    fn share_of(parts: &[Part], is: impl Fn(&Part) -> bool) -> f64 {
        let hits = parts.iter().filter(|part| is(part)).count();
        f64::from(u32::try_from(hits).unwrap()) / f64::from(u32::try_from(parts.len()).unwrap())
    }

    fn near(value: f64, expected: f64) {
        assert!((value - expected).abs() < 0.02, "{value} is not about {expected}");
    }

    #[test]
    fn the_same_seed_deals_the_same_parts() {
        assert_eq!(dealt(7, 20.0), dealt(7, 20.0));
        assert_ne!(dealt(7, 20.0), dealt(8, 20.0));
    }

    #[test]
    fn some_come_before_the_opening_most_in_the_rush_and_nobody_too_late() {
        let parts = dealt(1, 30.0);
        assert!(parts.iter().all(|part| (-30.0..=60.0).contains(&part.arrives)));
        near(share_of(&parts, |part| part.arrives < 0.0), 0.3);
        // Nine tenths of the rush, and what the tail has in its first sixth.
        near(share_of(&parts, |part| (0.0..10.0).contains(&part.arrives)), 0.7 * (0.54 + 0.122));
        // The nearer the opening, the more.
        let early = |from: f64, to: f64| share_of(&parts, |p| (from..to).contains(&p.arrives));
        assert!(early(-10.0, 0.0) > early(-30.0, -20.0) * 3.0);
    }

    #[test]
    fn nobody_comes_early_to_a_sale_that_is_open() {
        assert!(dealt(1, 0.0).iter().all(|part| part.arrives >= 0.0));
    }

    #[test]
    fn parts_are_dealt_in_their_shares() {
        let parts = dealt(3, 0.0);
        near(share_of(&parts, |part| part.watches), 0.8);
        near(share_of(&parts, |part| matches!(part.waiting, Waiting::Leaves { .. })), 0.05);
        near(share_of(&parts, |part| matches!(part.waiting, Waiting::GoesAway { .. })), 0.12);
        near(share_of(&parts, |part| part.buying == Buying::Idles), 0.05);
        near(share_of(&parts, |part| part.taste == Taste::Front), 0.5);
        near(share_of(&parts, |part| part.buying == Buying::Pays { twice: true }), 0.085);
    }
}
