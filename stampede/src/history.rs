//! What happened to each fan, as far as the fan can know: what every check and every figure is made of.
//!
//! Times are milliseconds since 1970. Those of the server are its own; ours come from a clock that never goes back.

use std::{
    collections::BTreeMap,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use uuid::Uuid;

/// Milliseconds since 1970.
pub type Ms = i64;

/// Our clock: the time of day at the start, and steady from there.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    start: Instant,
    epoch: Ms,
}

impl Clock {
    /// A clock that starts now.
    pub fn start() -> Self {
        let epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { start: Instant::now(), epoch: i64::try_from(epoch.as_millis()).unwrap_or(0) }
    }

    /// The time.
    pub fn now(&self) -> Ms {
        self.epoch + i64::try_from(self.start.elapsed().as_millis()).unwrap_or(0)
    }
}

/// Where a position was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Via {
    /// In an answer to `enterQueue` or `queueStatus`.
    Poll,
    /// In a push; the number counts the fan's sockets.
    Push(u32),
}

/// A position as it was shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Look {
    /// When it was asked for; nothing for a push, whose position may be older than anybody can tell.
    pub(crate) sent: Option<Ms>,
    pub(crate) at: Ms,
    pub(crate) position: u32,
    /// `estimatedWaitSeconds`.
    pub(crate) estimate: Option<u32>,
}

/// A position that rose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rise {
    pub(crate) at: Ms,
    pub(crate) from: u32,
    pub(crate) to: u32,
    pub(crate) via: Via,
}

/// How a place ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Used,
    Expired,
    /// The fan left.
    Left,
    /// The rehearsal was over first.
    Unfinished,
}

/// One place in line, from entering to its end.
#[derive(Debug, Clone, Default)]
pub(crate) struct Visit {
    /// Ours: when `enterQueue` was sent and acknowledged.
    pub(crate) sent: Ms,
    pub(crate) acked: Ms,
    /// The server's.
    pub(crate) entered_at: Ms,
    /// Not watched or polled for a while: may rightly have been passed over.
    pub(crate) away: bool,
    /// The place was there before this rehearsal began.
    pub(crate) leftover: bool,
    /// A few of the positions that were shown, at least some seconds apart.
    pub(crate) looks: Vec<Look>,
    pub(crate) rises: Vec<Rise>,
    /// Positions shown in all.
    pub(crate) shown: u32,
    /// How many of them had one before from the same source, to be compared with.
    pub(crate) steps: u32,
    /// Ours: when the fan was last told to be WAITING.
    pub(crate) waiting_until: Ms,
    /// The server's.
    pub(crate) activated_at: Option<Ms>,
    /// Ours: when a push told it.
    pub(crate) pushed_active_at: Option<Ms>,
    /// Ours: until when the fan was ACTIVE without doubt.
    pub(crate) active_until: Ms,
    /// The server's: the end of the ACTIVE time as it was last told, once it had come.
    pub(crate) lapsed_at: Option<Ms>,
    pub(crate) end: Option<End>,
    /// Ours: when the fan gave the place up before it was ACTIVE, or was told that it had EXPIRED before.
    pub(crate) left_line_at: Option<Ms>,
    pub(crate) last_push: Option<(u32, u32)>,
    pub(crate) last_poll: Option<u32>,
}

/// Looks closer to each other than this are not kept.
const LOOK_EVERY: Ms = 5_000;
/// Looks kept of one visit.
const LOOKS_MAX: usize = 64;
const RISES_MAX: usize = 4;

impl Visit {
    /// Notes a position. Pushes of one socket come in order, and so do polls; between the two there is no order.
    pub(crate) fn look(&mut self, look: Look, via: Via) {
        self.shown += 1;
        self.waiting_until = self.waiting_until.max(look.at);
        let before = match via {
            Via::Poll => self.last_poll.replace(look.position),
            Via::Push(socket) => {
                let before = self.last_push.replace((socket, look.position));
                before.filter(|(same, _)| *same == socket).map(|(_, position)| position)
            }
        };
        self.steps += u32::from(before.is_some());
        if let Some(from) = before.filter(|from| *from < look.position)
            && self.rises.len() < RISES_MAX
        {
            self.rises.push(Rise { at: look.at, from, to: look.position, via });
        }
        let spaced = self.looks.last().is_none_or(|last| look.at >= last.at + LOOK_EVERY);
        if spaced && self.looks.len() < LOOKS_MAX {
            self.looks.push(look);
        }
    }
}

/// A seat in somebody's hands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Holding {
    pub(crate) seats: Vec<String>,
    pub(crate) reservation: String,
    pub(crate) price: i64,
    /// The server's.
    pub(crate) held_at: Ms,
    /// The server's: when the hold lapses.
    pub(crate) expires_at: Ms,
    /// Ours: when the fan began to give it back.
    pub(crate) given_back: Option<Ms>,
    pub(crate) paid: bool,
    /// The server's: when the payment was approved, if it told.
    pub(crate) approved_at: Option<Ms>,
}

impl Holding {
    /// Until when it was the fan's without doubt, by the server's clock.
    pub(crate) fn until(&self, clock_offset: Ms) -> Ms {
        match self.given_back {
            // Giving back a hold that had lapsed does not make it last longer.
            Some(at) => (at - clock_offset).min(self.expires_at),
            None if self.paid => Ms::MAX,
            None => self.expires_at,
        }
    }
}

/// A pushed position, and the true one read right afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Compared {
    pub(crate) fan: u32,
    pub(crate) pushed_at: Ms,
    pub(crate) pushed: u32,
    pub(crate) answered_at: Ms,
    pub(crate) truth: u32,
}

/// What a fan's wallet and reservations looked like at the end, beside what they should.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Audit {
    pub(crate) balance: i64,
    /// Of all entries of the wallet.
    pub(crate) deducts: Vec<i64>,
    /// Ids of reservations that are CONFIRMED at this performance.
    pub(crate) confirmed: Vec<String>,
}

/// One fan.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fan {
    pub(crate) index: u32,
    pub(crate) person: Option<Uuid>,
    pub(crate) visits: Vec<Visit>,
    pub(crate) holdings: Vec<Holding>,
    pub(crate) compared: Vec<Compared>,
    /// Points before the first charge, and what was charged since; `None` when the fan never looked.
    pub(crate) wallet: Option<(i64, i64)>,
    /// A payment's outcome stayed unknown.
    pub(crate) unsure: bool,
    pub(crate) audit: Option<Audit>,
}

/// What was told of the draw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Draw {
    pub(crate) schedule: Uuid,
    /// In hexadecimal, as it was noted before the first fan entered.
    pub(crate) commitment: String,
    /// In hexadecimal, as it was shown at the end; nothing, when none was.
    pub(crate) secret: Option<String>,
    /// Ours: when it was last asked for.
    pub(crate) asked_at: Ms,
}

/// How the room stood, asked once a second.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(crate) struct RoomSample {
    pub(crate) at: Ms,
    pub(crate) status: String,
    pub(crate) waiting: i64,
    pub(crate) active: i64,
    pub(crate) max_active: i64,
    pub(crate) remaining_seats: i64,
    pub(crate) estimate: Option<i64>,
}

/// How late timers of ours fired, second by second: what is late by less may be our fault.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct OwnLag(BTreeMap<i64, Ms>);

impl OwnLag {
    /// A timer was late by this much; it was to be heard between these instants.
    pub(crate) fn note(&mut self, from: Ms, to: Ms, late: Ms) {
        for second in from.div_euclid(1_000)..=to.div_euclid(1_000) {
            let worst = self.0.entry(second).or_default();
            *worst = late.max(*worst);
        }
    }

    /// The worst of the seconds that these instants touch.
    pub(crate) fn between(&self, from: Ms, to: Ms) -> Ms {
        let seconds = from.div_euclid(1_000)..=to.max(from).div_euclid(1_000);
        self.0.range(seconds).map(|(_, late)| *late).max().unwrap_or(0)
    }

    /// The worst of all.
    pub(crate) fn worst(&self) -> Ms {
        self.0.values().copied().max().unwrap_or(0)
    }
}

/// A whole rehearsal.
#[derive(Debug, Clone, Default)]
pub(crate) struct History {
    pub(crate) fans: Vec<Fan>,
    pub(crate) room: Vec<RoomSample>,
    pub(crate) sales_open_at: Ms,
    /// Nothing, when the room could not be asked.
    pub(crate) draw: Option<Draw>,
    pub(crate) own_lag: OwnLag,
    /// Fans of whom nothing is known, for their part crashed: a fault of ours.
    pub(crate) crashed: usize,
    /// Fans of whom nothing is known, for they still played when all should have been home.
    pub(crate) still_playing: usize,
}

impl History {
    /// Every visit with its fan.
    pub(crate) fn visits(&self) -> impl Iterator<Item = (&Fan, &Visit)> {
        self.fans.iter().flat_map(|fan| fan.visits.iter().map(move |visit| (fan, visit)))
    }

    /// Ours: when the last seat was sold, by the server's word.
    pub(crate) fn last_sale(&self) -> Option<Ms> {
        let holdings = self.fans.iter().flat_map(|fan| &fan.holdings);
        let last = holdings.filter(|holding| holding.paid).filter_map(|sold| sold.approved_at);
        Some(last.max()? + self.clock_offset())
    }

    /// Our clock less the server's, if that is known to differ: entering happened between sending and acknowledgement.
    pub(crate) fn clock_offset(&self) -> Ms {
        let fresh = || self.visits().map(|(_, visit)| visit).filter(|visit| !visit.leftover);
        let least = fresh().map(|visit| visit.sent - visit.entered_at).max().unwrap_or(0);
        let most = fresh().map(|visit| visit.acked - visit.entered_at).min().unwrap_or(0);
        if (least..=most).contains(&0) || least > most { 0 } else { i64::midpoint(least, most) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(at: Ms, position: u32) -> Look {
        Look { sent: None, at, position, estimate: None }
    }

    #[test]
    fn a_rise_is_seen_within_one_source_only() {
        let mut visit = Visit::default();
        visit.look(look(0, 10), Via::Push(1));
        visit.look(look(1, 12), Via::Poll);
        visit.look(look(2, 9), Via::Push(1));
        visit.look(look(3, 11), Via::Push(2));
        assert_eq!(visit.rises, []);
        visit.look(look(4, 12), Via::Push(2));
        visit.look(look(5, 13), Via::Poll);
        let rises: Vec<_> = visit.rises.iter().map(|rise| (rise.from, rise.to)).collect();
        assert_eq!(rises, [(11, 12), (12, 13)]);
    }

    #[test]
    fn looks_are_kept_sparsely() {
        let mut visit = Visit::default();
        for at in 0..600 {
            visit.look(look(at * 1_000, 1), Via::Poll);
        }
        assert_eq!(visit.shown, 600);
        assert_eq!(visit.looks.len(), LOOKS_MAX);
        assert!(visit.looks.windows(2).all(|pair| pair[1].at - pair[0].at >= LOOK_EVERY));
    }

    #[test]
    fn a_position_is_a_step_only_after_one_of_the_same_source() {
        let mut visit = Visit::default();
        for via in [Via::Poll, Via::Push(1), Via::Push(2), Via::Push(2), Via::Poll] {
            visit.look(look(0, 1), via);
        }
        assert_eq!((visit.shown, visit.steps), (5, 2));
    }

    #[test]
    fn a_hold_ends_when_it_is_given_back_or_lapses_whichever_is_first() {
        let held = Holding {
            seats: vec![],
            reservation: String::new(),
            price: 1,
            held_at: 0,
            expires_at: 1_000,
            given_back: None,
            paid: false,
            approved_at: None,
        };
        let given_back = |at| Holding { given_back: Some(at), ..held.clone() }.until(100);
        assert_eq!(held.until(100), 1_000);
        assert_eq!((given_back(600), given_back(5_000)), (500, 1_000));
    }

    #[test]
    fn our_own_lag_is_that_of_the_seconds_concerned() {
        let mut lag = OwnLag::default();
        lag.note(1_900, 3_100, 700);
        lag.note(9_000, 9_050, 5);
        assert_eq!(lag.between(0, 999), 0);
        assert_eq!((lag.between(0, 1_000), lag.between(2_500, 2_600)), (700, 700));
        assert_eq!((lag.between(4_000, 9_500), lag.worst()), (5, 700));
    }

    #[test]
    fn clocks_that_differ_are_noticed_and_clocks_that_may_agree_are_left() {
        let visit = |sent, acked, entered_at| Visit { sent, acked, entered_at, ..Visit::default() };
        let history =
            |visits| History { fans: vec![Fan { visits, ..Fan::default() }], ..History::default() };
        assert_eq!(history(vec![visit(0, 10, 5), visit(20, 24, 21)]).clock_offset(), 0);
        // The server's clock is some 1,000 ms behind.
        let behind = history(vec![visit(1_000, 1_010, 5), visit(2_000, 2_004, 1_002)]);
        assert_eq!(behind.clock_offset(), 1_000);
    }
}
