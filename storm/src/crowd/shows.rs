//! Performances to sell: made by the organizer, and made anew when they are sold out.

use std::{sync::Arc, time::Duration};

use serde::Deserialize;
use serde_json::{Value, json};
use stampede::{
    api::{Answer, Api, SeatId},
    history::Ms,
};
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

use super::{
    scene::{Phase, Programme, Scene, Show},
    settle::GRADE,
};
use crate::Result;

/// The organizer that `frontrow seed` makes.
const EMAIL: &str = "organizer@frontrow.example";
const PASSWORD: &str = "front-row-demo";
/// Performances on sale at once.
const SHOWS: usize = 2;
/// A performance with so few seats left, or one this old, makes room for a new one.
const FEW_SEATS: i64 = 12;
const OLD: Duration = Duration::from_secs(120);
/// The one for looking whether the server is well must never be sold out at the wrong moment.
const FEW_QUIET_SEATS: i64 = 200;
const LOOK_EVERY: Duration = Duration::from_secs(1);
const AGAIN: Duration = Duration::from_millis(300);
/// How long making one may take before the storm begins.
const PATIENCE: Duration = Duration::from_secs(60);
const DAY_MS: Ms = 86_400_000;

/// Makes performances.
#[derive(Debug)]
pub(crate) struct Office {
    scene: Arc<Scene>,
    /// A client for what needs no performance.
    desk: Show,
    session: String,
    concert: String,
    made: u32,
    on_sale: Vec<(Arc<Show>, Instant)>,
    quiet: Arc<Show>,
}

impl Office {
    /// Logs in, and makes the first performances.
    ///
    /// # Errors
    /// When the server does not let us.
    pub(crate) async fn open(scene: Arc<Scene>) -> Result<Self> {
        const CONCERT: &str =
            "mutation Concert($input: CreateConcertInput!) { it: createConcert(input: $input) {
            it: concert { id } userErrors { code message } } }";
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Session {
            access_token: String,
        }
        const LOG_IN: &str = "mutation LogIn($input: LogInInput!) { it: logIn(input: $input) {
            it: session { accessToken } userErrors { code message } } }";
        let desk = scene.show("");
        let [api, _] = &desk.apis;
        let input = json!({ "input": { "email": EMAIL, "password": PASSWORD } });
        let session = api.organize::<Session>("", LOG_IN, input).await?.access_token;
        let concert = json!({ "input": {
            "title": "Storm", "artist": "Weather", "venue": "Open air", "timeZone": "Etc/UTC",
            "description": "Performances that nobody plays: they are there to be sold in bad weather." } });
        let concert = api.organize::<SeatId>(&session, CONCERT, concert).await?.id;
        let quiet = Arc::new(scene.show(""));
        let mut office =
            Self { scene, desk, session, concert, made: 0, on_sale: Vec::new(), quiet };
        let made = async {
            office.quiet = office.make(true).await?;
            for _ in 0..SHOWS {
                let show = office.make(false).await?;
                office.on_sale.push((show, Instant::now()));
            }
            Some(())
        };
        let made = tokio::time::timeout(PATIENCE, made).await;
        made.ok().flatten().ok_or("the first performances could not be made")?;
        Ok(office)
    }

    /// What is on sale.
    pub(crate) fn programme(&self) -> Programme {
        let shows = self.on_sale.iter().map(|(show, _)| show.clone()).collect();
        Programme { shows, quiet: self.quiet.clone() }
    }

    /// Looks after the programme until nobody plays any more.
    pub(crate) async fn run(mut self, programme: watch::Sender<Programme>) {
        while self.scene.phase() == Phase::Playing {
            self.replace().await;
            programme.send_replace(self.programme());
            let scene = self.scene.clone();
            tokio::select! {
                () = sleep(LOOK_EVERY) => {}
                () = scene.reached(Phase::Closing) => {}
            }
        }
    }

    async fn replace(&mut self) {
        for at in 0..self.on_sale.len() {
            let Some((show, since)) = self.on_sale.get(at).cloned() else { continue };
            let few = self.remaining(&show).await.is_some_and(|seats| seats < FEW_SEATS);
            if (few || since.elapsed() > OLD)
                && let Some(next) = self.make(false).await
                && let Some(place) = self.on_sale.get_mut(at)
            {
                *place = (next, Instant::now());
            }
        }
        if self.remaining(&self.quiet).await.is_some_and(|seats| seats < FEW_QUIET_SEATS)
            && let Some(next) = self.make(true).await
        {
            self.quiet = next;
        }
    }

    async fn remaining(&self, show: &Show) -> Option<i64> {
        let [first, second] = &show.apis;
        let api = if self.made.is_multiple_of(2) { first } else { second };
        api.room(None).await.ok()?.map(|schedule| schedule.remaining_seats)
    }

    /// Makes one and opens its sale, however often that has to be tried; nothing when the storm is over first.
    async fn make(&mut self, quiet: bool) -> Option<Arc<Show>> {
        const SCHEDULE: &str =
            "mutation Schedule($input: CreateScheduleInput!) { it: createSchedule(input: $input) {
            it: schedule { id } userErrors { code message } } }";
        const OPEN: &str = "mutation Open($id: ID!) { it: openSale(scheduleId: $id) {
            it: schedule { id } userErrors { code message } } }";
        self.made += 1;
        let id =
            self.insist(SCHEDULE, |office| json!({ "input": office.performance(quiet) })).await?;
        self.insist(OPEN, |_| json!({ "id": id })).await?;
        Some(Arc::new(self.scene.show(&id)))
    }

    /// The id that a mutation brings, as soon as there is one.
    async fn insist(
        &self,
        query: &str,
        input: impl Fn(&Self) -> Value + Send + Sync,
    ) -> Option<String> {
        let mut turn = self.made;
        while self.scene.phase() == Phase::Playing {
            let [first, second] = &self.desk.apis;
            let api: &Api = if turn.is_multiple_of(2) { first } else { second };
            let made: Answer<SeatId> = api.organize(&self.session, query, input(self)).await;
            if let Ok(made) = made {
                return Some(made.id);
            }
            turn += 1;
            sleep(AGAIN).await;
        }
        None
    }

    fn performance(&self, quiet: bool) -> Value {
        let at = |ms: Ms| rfc3339(self.scene.clock.now() + ms);
        // Every third begins with a draw.
        let opens_in = if quiet || !self.made.is_multiple_of(3) { -1_000 } else { 4_000 };
        let (rows, most, active) = if quiet { (60, 20, 100) } else { (6, 4, 10) };
        json!({
            "concertId": self.concert,
            "salesOpenAt": at(opens_in),
            "salesCloseAt": at(30 * DAY_MS),
            "startsAt": at(31 * DAY_MS),
            "maxSeatsPerPerson": most,
            "sections": [
                { "name": "Front", "grade": "VIP", "price": 150_000, "rows": 2, "seatsPerRow": 10 },
                { "name": "Stalls", "grade": GRADE, "price": 90_000, "rows": rows, "seatsPerRow": 20 },
            ],
            "waitingRoom": { "maxActive": active, "admitPerRound": active / 2, "roundSeconds": 0.5 },
        })
    }
}

/// Milliseconds since 1970 as the API takes instants.
fn rfc3339(ms: Ms) -> String {
    chrono::DateTime::from_timestamp_millis(ms).unwrap_or_default().to_rfc3339()
}
