//! What a room's settings may be. Pure.

use std::ops::RangeInclusive;

use super::{WaitingRoomPatch, WaitingRoomSettings};
use crate::{catalogue::CatalogueRefusal, kernel::Checks};

type Refusals = Checks<CatalogueRefusal>;

/// The settings after a change, or everything that is wrong with it.
pub(super) fn changed(
    now: WaitingRoomSettings,
    patch: &WaitingRoomPatch,
) -> Result<WaitingRoomSettings, Vec<CatalogueRefusal>> {
    let mut checks = Refusals::default();
    let mut change = |field, to: Option<i32>, now, range: RangeInclusive<i32>| {
        let value = to.unwrap_or(now);
        if to.is_some() {
            checks.keep(CatalogueRefusal::unless_in(field, value, range));
        }
        value
    };
    let max_active = change("maxActive", patch.max_active, now.max_active, 1..=1_000_000);
    let admit_per_round =
        change("admitPerRound", patch.admit_per_round, now.admit_per_round, 1..=100_000);
    let idle_seconds = change("idleSeconds", patch.idle_seconds, now.idle_seconds, 5..=86_400);
    let active_seconds =
        change("activeSeconds", patch.active_seconds, now.active_seconds, 5..=86_400);
    let round_ms =
        patch.round_seconds.map_or(Some(now.round_ms), |seconds| checks.keep(round_ms(seconds)));
    checks.outcome(WaitingRoomSettings {
        max_active,
        admit_per_round,
        round_ms: round_ms.unwrap_or(now.round_ms),
        idle_seconds,
        active_seconds,
        paused: patch.paused.unwrap_or(now.paused),
    })
}

fn round_ms(seconds: f64) -> Result<i32, CatalogueRefusal> {
    if (0.1..=600.0).contains(&seconds) {
        #[expect(clippy::cast_possible_truncation, reason = "100 to 600000, as was just checked")]
        let milliseconds = (seconds * 1_000.0).round() as i32;
        Ok(milliseconds)
    } else {
        Err(CatalogueRefusal::value("roundSeconds", "0.1 to 600 seconds."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(result: Result<WaitingRoomSettings, Vec<CatalogueRefusal>>) -> String {
        let refusals = result.expect_err("a fault");
        let fields = refusals.into_iter().map(|refusal| match refusal {
            CatalogueRefusal::ValueInvalid { path, .. } => path.join("."),
            other => format!("{other:?}"),
        });
        fields.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_waiting_room_changes_only_in_what_was_said() {
        let now = WaitingRoomSettings::DEFAULT;
        assert_eq!(changed(now, &WaitingRoomPatch::default()), Ok(now));
        let patch = WaitingRoomPatch {
            round_seconds: Some(0.25),
            paused: Some(true),
            ..WaitingRoomPatch::default()
        };
        let expected = WaitingRoomSettings { round_ms: 250, paused: true, ..now };
        assert_eq!(changed(now, &patch), Ok(expected));
    }

    #[test]
    fn a_waiting_room_stays_within_what_the_table_allows() {
        let none = WaitingRoomPatch::default();
        let refused = |patch| fault(changed(WaitingRoomSettings::DEFAULT, &patch));
        for value in [0, 1_000_001] {
            assert_eq!(refused(WaitingRoomPatch { max_active: Some(value), ..none }), "maxActive");
        }
        for value in [0, 100_001] {
            let patch = WaitingRoomPatch { admit_per_round: Some(value), ..none };
            assert_eq!(refused(patch), "admitPerRound");
        }
        for value in [4, 86_401] {
            assert_eq!(
                refused(WaitingRoomPatch { idle_seconds: Some(value), ..none }),
                "idleSeconds"
            );
            let patch = WaitingRoomPatch { active_seconds: Some(value), ..none };
            assert_eq!(refused(patch), "activeSeconds");
        }
        for value in [0.0, 0.099, 600.001, f64::INFINITY, f64::NAN] {
            let patch = WaitingRoomPatch { round_seconds: Some(value), ..none };
            assert_eq!(refused(patch), "roundSeconds");
        }
        let all = WaitingRoomPatch {
            max_active: Some(0),
            admit_per_round: Some(0),
            round_seconds: Some(0.0),
            idle_seconds: Some(0),
            active_seconds: Some(0),
            paused: Some(true),
        };
        assert_eq!(
            refused(all),
            "maxActive admitPerRound idleSeconds activeSeconds roundSeconds",
            "every one at once"
        );
    }
}
