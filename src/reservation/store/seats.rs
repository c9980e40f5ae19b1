//! Making seats.

use sea_orm::sea_query::ArrayType;

use crate::{
    catalogue::{NewSection, PlannedSeat},
    db::{Session, Tx, array, uuids},
    kernel::{Fault, ScheduleId, SeatId},
};

/// Seats that one statement makes at most: large enough to need few statements, small enough to send.
const SEATS_PER_STATEMENT: usize = 10_000;

/// Makes the seats of one section, all of them free.
pub(in crate::reservation) async fn insert(
    tx: &Tx,
    schedule: ScheduleId,
    section: &NewSection,
) -> Result<(), Fault> {
    const SQL: &str = "
        INSERT INTO seat (id, schedule_id, section, row_label, row_index, number, grade, price, preference)
        SELECT id, $1, $2, ($3::text[])[row_index], row_index, number, $4, $5, preference
        FROM unnest($6::uuid[], $7::int[], $8::int[], $9::int[]) AS new (id, row_index, number, preference)";
    let labels = array(ArrayType::String, section.row_labels().into_iter().map(Into::into));
    let ints = |seats: &[PlannedSeat], of: fn(&PlannedSeat) -> i32| {
        array(ArrayType::Int, seats.iter().map(|seat| of(seat).into()))
    };
    for seats in section.seats().chunks(SEATS_PER_STATEMENT) {
        let values = vec![
            schedule.into(),
            section.name.as_str().into(),
            labels.clone(),
            section.grade.as_str().into(),
            section.price.into(),
            uuids(seats.iter().map(|_| SeatId::new().0)),
            ints(seats, |seat| seat.row_index),
            ints(seats, |seat| seat.number),
            ints(seats, |seat| seat.preference),
        ];
        tx.run(SQL, values).await?;
    }
    Ok(())
}
