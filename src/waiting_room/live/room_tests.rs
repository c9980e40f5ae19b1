use super::*;
use crate::{
    kernel::{QueueTokenId, Timestamp},
    waiting_room::{Draw, Line},
};

fn summary() -> Summary {
    Summary {
        status: RoomStatus::Open,
        everything_held: false,
        organizer_id: PersonId::new(),
        draft: false,
        waiting: 2,
        active: 0,
        max_active: 1,
        admit_per_round: 1,
        round_ms: 1_000,
        line: Line::default(),
        draw: Draw { commitment: [0; 32], secret: Some([0; 32]) },
    }
}

fn waiting(schedule_id: ScheduleId, number: i64) -> QueueToken {
    QueueToken {
        id: QueueTokenId::new(),
        schedule_id,
        person_id: PersonId::new(),
        number,
        status: QueueStatus::Waiting,
        version: 0,
        entered_at: Timestamp::UNIX_EPOCH,
        passed_over_at: None,
        activated_at: None,
        expires_at: None,
        ended_because: None,
        now: Timestamp::UNIX_EPOCH,
    }
}

fn ranks(positions: Vec<i64>) -> Ranks {
    Ranks { generation: 1, seq: 7, waiting: 2, sum: 0, positions }
}

#[test]
fn who_stops_watching_while_ranks_are_read_leaves_no_position_behind() {
    let room = Room::new(ScheduleId::new());
    room.set_summary(summary());
    for number in [1, 2] {
        let token = waiting(room.schedule_id, number);
        room.join(&token, Some(&ranks(vec![number])), Some(number)).unwrap();
    }
    room.doubt();
    let asked: Vec<i64> = room.to_resync().unwrap().into_iter().map(|(number, _)| number).collect();
    assert_eq!(asked, [1, 2]);
    room.leave(2);
    room.resynced(&asked, &ranks(vec![1, 2]));
    let positions = |number| room.state().positions.position(number);
    assert_eq!((positions(1), positions(2)), (Some(1), None));
    room.leave(1);
    assert_eq!(positions(1), None);
    assert!(room.state().watchers.is_empty());
}
