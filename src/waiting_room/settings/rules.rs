//! What a room's settings may be. Pure.

use super::{WaitingRoomPatch, WaitingRoomSettings};
use crate::catalogue::CatalogueRefusal;

type Checked<T> = Result<T, CatalogueRefusal>;

/// The settings after a change.
pub(super) fn changed(
    now: WaitingRoomSettings,
    patch: &WaitingRoomPatch,
) -> Checked<WaitingRoomSettings> {
    let change = |field, to: Option<i32>, now, range| {
        to.map_or(Ok(now), |value| CatalogueRefusal::unless_in(field, value, range).map(|()| value))
    };
    Ok(WaitingRoomSettings {
        max_active: change("maxActive", patch.max_active, now.max_active, 1..=1_000_000)?,
        admit_per_round: change(
            "admitPerRound",
            patch.admit_per_round,
            now.admit_per_round,
            1..=100_000,
        )?,
        round_ms: patch.round_seconds.map_or(Ok(now.round_ms), round_ms)?,
        idle_seconds: change("idleSeconds", patch.idle_seconds, now.idle_seconds, 5..=86_400)?,
        active_seconds: change(
            "activeSeconds",
            patch.active_seconds,
            now.active_seconds,
            5..=86_400,
        )?,
        paused: patch.paused.unwrap_or(now.paused),
    })
}

fn round_ms(seconds: f64) -> Checked<i32> {
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

    fn fault(result: Checked<WaitingRoomSettings>) -> String {
        match result {
            Err(CatalogueRefusal::ValueInvalid { path, .. }) => path.join("."),
            other => format!("{other:?}"),
        }
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
    }
}
