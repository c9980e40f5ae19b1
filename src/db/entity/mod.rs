//! sea-orm entities, one per table that is read or written row by row. No logic, and no text enums of the features:
//! a status is text here, and its feature's store turns it into words of its own.

pub mod concert;
pub mod payment;
pub mod person;
pub mod reservation;
pub mod schedule;
pub mod seat;
pub mod waiting_room;
pub mod wallet_entry;
