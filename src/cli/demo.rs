//! What a fresh installation has to show: a few invented concerts, an organizer and a fan.

use chrono::{Days, NaiveTime, TimeDelta};

use super::Failed;
use crate::{
    account::{Accounts, NewPerson},
    catalogue::{CatalogueRefusal, NewConcert, NewSchedule, NewSection},
    db::Db,
    kernel::{ConcertId, Failure, Points, Role, Timestamp},
    sale::{self, NewSale},
    waiting_room::WaitingRoomPatch,
};

/// The demo organizer's address.
pub(super) const ORGANIZER: &str = "organizer@frontrow.example";
/// The demo fan's address.
pub(super) const FAN: &str = "fan@frontrow.example";
/// The password of everybody in the demo.
pub(super) const PASSWORD: &str = "front-row-demo";

/// Makes what is missing, all or nothing, and tells how many performances that were.
pub(super) async fn ensure(db: &Db, accounts: &Accounts) -> Result<usize, Failed> {
    let made = db.tx(async |tx| {
        tx.lock("frontrow:seed").await?;
        let organizer = person(ORGANIZER, "Demo Organizer");
        let organizer = accounts.ensure_in_tx(tx, organizer, Role::Organizer).await?.id;
        accounts.ensure_in_tx(tx, person(FAN, "Demo Fan"), Role::Fan).await?;
        let now = tx.now().await?;
        let mut made = 0;
        for show in SHOWS {
            let sales = |concert| show.sales(concert, now);
            made += sale::ensure_in_tx(tx, organizer, show.concert(), sales).await?;
        }
        Ok(made)
    });
    made.await.map_err(|failure: Failure<Vec<CatalogueRefusal>>| match failure {
        Failure::Fault(fault) => fault.into(),
        Failure::Refused(refusals) => {
            Failed::new(format!("The demo data break the catalogue's rules: {refusals:?}."))
        }
    })
}

fn person(email: &str, name: &str) -> NewPerson {
    NewPerson { email: email.to_owned(), name: name.to_owned(), password: PASSWORD.into() }
}

/// A concert of the demo.
struct Show {
    title: &'static str,
    artist: &'static str,
    venue: &'static str,
    description: &'static str,
    /// Name, grade, price, rows, seats per row.
    sections: &'static [(&'static str, &'static str, i64, i32, i32)],
    /// How many days from now it is performed.
    days: &'static [u64],
    /// When sales open, in minutes from now.
    opens_in: i64,
    /// People ACTIVE at most, and admitted a round.
    room: (i32, i32),
    seats_per_person: i32,
}

const HALL: &[(&str, &str, i64, i32, i32)] = &[
    ("Front", "VIP", 150_000, 1, 10),
    ("Stalls", "R", 120_000, 2, 10),
    ("Balcony", "S", 90_000, 2, 10),
];
const ARENA: &[(&str, &str, i64, i32, i32)] = &[
    ("Floor", "VIP", 198_000, 20, 50),
    ("East Stand", "R", 154_000, 60, 75),
    ("West Stand", "R", 154_000, 60, 75),
    ("Upper Ring", "S", 99_000, 100, 100),
];
const YESTERDAY: i64 = -24 * 60;

const SHOWS: &[Show] = &[
    Show {
        title: "Night Ferry",
        artist: "Sora Lane",
        venue: "Harbour Hall, Busan",
        description: "The songs of the last ferry home, with a string quartet.",
        sections: HALL,
        days: &[14, 15, 21, 22],
        opens_in: YESTERDAY,
        room: (100, 50),
        seats_per_person: 1,
    },
    Show {
        title: "Paper Lanterns",
        artist: "The Quiet Hours",
        venue: "Lantern House, Seoul",
        description: "An acoustic evening in a room of fifty.",
        sections: HALL,
        days: &[30, 31, 45],
        opens_in: YESTERDAY,
        room: (100, 50),
        seats_per_person: 4,
    },
    Show {
        title: "First Light",
        artist: "Juniper Tide",
        venue: "Lantern House, Seoul",
        description: "The premiere. Sales open soon; the waiting room is open already.",
        sections: HALL,
        days: &[60],
        opens_in: 60,
        room: (20, 10),
        seats_per_person: 1,
    },
    Show {
        title: "Continental Drift",
        artist: "Polar Parade",
        venue: "Han River Dome, Seoul",
        description: "The arena tour: twenty thousand seats, one night.",
        sections: ARENA,
        days: &[90],
        opens_in: YESTERDAY,
        room: (1_000, 200),
        seats_per_person: 4,
    },
];

impl Show {
    fn concert(&self) -> NewConcert {
        NewConcert {
            title: self.title.to_owned(),
            artist: self.artist.to_owned(),
            venue: self.venue.to_owned(),
            description: self.description.to_owned(),
            time_zone: "Asia/Seoul".to_owned(),
        }
    }

    fn sales(&self, concert_id: ConcertId, now: Timestamp) -> Vec<NewSale> {
        self.days.iter().map(|&days| self.sale(concert_id, now, days)).collect()
    }

    fn sale(&self, concert_id: ConcertId, now: Timestamp, days: u64) -> NewSale {
        // Half past seven in the evening in Seoul.
        let evening = NaiveTime::from_hms_opt(10, 30, 0).unwrap_or(NaiveTime::MIN);
        let starts_at = (now.date_naive() + Days::new(days)).and_time(evening).and_utc();
        let schedule = NewSchedule {
            concert_id,
            starts_at,
            sales_open_at: now + TimeDelta::minutes(self.opens_in),
            sales_close_at: starts_at,
            max_seats_per_person: self.seats_per_person,
            cancel_until: None,
            sections: self.sections.iter().map(section).collect(),
        };
        let waiting_room = WaitingRoomPatch {
            max_active: Some(self.room.0),
            admit_per_round: Some(self.room.1),
            ..WaitingRoomPatch::default()
        };
        NewSale { schedule, waiting_room }
    }
}

fn section(&(name, grade, price, rows, seats_per_row): &(&str, &str, i64, i32, i32)) -> NewSection {
    NewSection {
        name: name.to_owned(),
        grade: grade.to_owned(),
        price: Points::new(price).unwrap_or(Points::ZERO),
        rows,
        seats_per_row,
    }
}
