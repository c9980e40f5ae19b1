//! Losses planted behind the server's back: a check that does not find them is worth nothing.

use clap::ValueEnum;
use sqlx::PgConnection;

use crate::Result;

/// Something to be lost, or to be there that should not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Loss {
    /// Each of the others, one after the other.
    #[value(alias = "loss")]
    All,
    /// A place in line disappears.
    Place,
    /// Somebody who left is in again.
    Left,
    /// A reservation disappears.
    Hold,
    /// A seat of a reservation becomes another.
    OtherSeat,
    /// A confirmed reservation was never confirmed.
    Confirmation,
    /// A cancelled reservation was never cancelled.
    Cancellation,
    /// A refund's entry disappears.
    Refund,
    /// A charge's entry disappears.
    Charge,
    /// A charge that nobody asked for, with the balance to match: the books alone agree.
    ExtraCharge,
    /// A payment disappears.
    Payment,
    /// A payment stands under another key.
    PaymentKey,
    /// A balance is a point too high.
    Balance,
    /// A seat is sold to two.
    SeatTwice,
    /// Somebody has a reservation that nobody made.
    ExtraReservation,
}

/// Plants nothing.
const NOTHING: &str = "SELECT NULL::text WHERE false";

impl Loss {
    /// These, with `All` spelt out.
    pub(crate) fn spelt_out(losses: &[Self]) -> Vec<Self> {
        let all = losses.contains(&Self::All);
        let wanted = |loss: &Self| *loss != Self::All && (all || losses.contains(loss));
        Self::value_variants().iter().copied().filter(wanted).collect()
    }

    /// As on the command line.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// The check that has to find it.
    pub(crate) const fn found_by(self) -> &'static str {
        match self {
            Self::All => "",
            Self::Place => "Every place acknowledged is in the journal",
            Self::Left => "Everybody who left is out",
            Self::Hold | Self::OtherSeat => {
                "Every hold acknowledged is a reservation of those seats"
            }
            Self::Confirmation | Self::Payment | Self::PaymentKey => {
                "Every payment acknowledged stands under its key"
            }
            Self::Cancellation | Self::Refund => {
                "Every cancellation acknowledged stands, and what was paid is back"
            }
            Self::Charge => "Every charge acknowledged is one entry of the ledger",
            Self::ExtraCharge | Self::ExtraReservation => {
                "Nothing was done twice, or without being asked for"
            }
            Self::Balance => "Every balance is the sum of what was acknowledged",
            Self::SeatTwice => "No seat has two owners",
        }
    }

    /// The statement that plants it on the oldest row that it can be planted on, and returns which.
    const fn statement(self) -> &'static str {
        match self {
            Self::All => NOTHING,
            Self::Place => {
                "DELETE FROM queue_token WHERE id = (SELECT id FROM queue_token WHERE status = 'EXPIRED'
                 ORDER BY ended_at LIMIT 1) RETURNING id::text"
            }
            // The first ends are of those who left: a fan who just went away is in for two minutes.
            Self::Left => {
                "UPDATE queue_token SET status = 'ACTIVE', ended_at = NULL, expires_at = clock_timestamp() + interval '1 h'
                 WHERE id = (SELECT id FROM queue_token t WHERE status = 'EXPIRED' AND last_action_at IS NOT NULL
                   AND NOT EXISTS (SELECT 1 FROM queue_token o WHERE o.schedule_id = t.schedule_id
                     AND o.person_id = t.person_id AND o.status IN ('WAITING', 'ACTIVE'))
                   ORDER BY ended_at LIMIT 1) RETURNING id::text"
            }
            Self::Hold => {
                "DELETE FROM reservation WHERE id = (SELECT id FROM reservation ORDER BY held_at LIMIT 1)
                 RETURNING id::text"
            }
            Self::OtherSeat => {
                "UPDATE reservation_seat l SET seat_id = (SELECT s.id FROM seat s WHERE s.schedule_id = r.schedule_id
                   AND s.status = 'AVAILABLE' AND s.id <> l.seat_id LIMIT 1)
                 FROM (SELECT id, schedule_id FROM reservation ORDER BY held_at LIMIT 1) r
                 WHERE l.reservation_id = r.id RETURNING l.reservation_id::text"
            }
            Self::Confirmation => {
                "UPDATE reservation SET status = 'EXPIRED', confirmed_at = NULL WHERE id =
                 (SELECT id FROM reservation WHERE status = 'CONFIRMED' ORDER BY held_at LIMIT 1) RETURNING id::text"
            }
            Self::Cancellation => {
                "UPDATE reservation SET status = 'EXPIRED', cancelled_at = NULL, confirmed_at = NULL WHERE id =
                 (SELECT id FROM reservation WHERE status = 'CANCELLED' ORDER BY held_at LIMIT 1) RETURNING id::text"
            }
            Self::SeatTwice => {
                "INSERT INTO reservation_seat (reservation_id, seat_id, price)
                 SELECT other.id, l.seat_id, l.price FROM reservation one
                 JOIN reservation other ON other.schedule_id = one.schedule_id AND other.id <> one.id
                 JOIN reservation_seat l ON l.reservation_id = one.id
                 WHERE one.status = 'CONFIRMED' AND other.status = 'CONFIRMED'
                 ORDER BY one.held_at, other.held_at LIMIT 1 RETURNING seat_id::text"
            }
            Self::ExtraReservation => {
                "INSERT INTO reservation (id, person_id, schedule_id, queue_token_id, status, seat_count, total_price,
                                          held_at, expires_at)
                 SELECT gen_random_uuid(), person_id, schedule_id, queue_token_id, 'EXPIRED', seat_count, total_price,
                        held_at, expires_at FROM reservation ORDER BY held_at LIMIT 1 RETURNING id::text"
            }
            _ => self.about_money(),
        }
    }

    const fn about_money(self) -> &'static str {
        match self {
            Self::Refund => {
                "DELETE FROM wallet_entry WHERE id = (SELECT id FROM wallet_entry WHERE purpose = 'REFUND'
                 ORDER BY sequence LIMIT 1) RETURNING id::text"
            }
            Self::Charge => {
                "DELETE FROM wallet_entry WHERE id = (SELECT id FROM wallet_entry WHERE purpose = 'CHARGE'
                 ORDER BY sequence LIMIT 1) RETURNING id::text"
            }
            Self::ExtraCharge => {
                "WITH richer AS (UPDATE wallet SET balance = balance + 5 WHERE person_id =
                   (SELECT person_id FROM wallet_entry ORDER BY sequence LIMIT 1) RETURNING person_id, balance)
                 INSERT INTO wallet_entry (id, person_id, kind, delta, balance_after, purpose, key, created_at)
                 SELECT gen_random_uuid(), person_id, 'CHARGE', 5, balance, 'CHARGE', 'nobody-asked', clock_timestamp()
                 FROM richer RETURNING id::text"
            }
            Self::Payment => {
                "DELETE FROM payment WHERE id = (SELECT id FROM payment ORDER BY created_at LIMIT 1) RETURNING id::text"
            }
            Self::PaymentKey => {
                "UPDATE payment SET idempotency_key = idempotency_key || '-other' WHERE id =
                 (SELECT id FROM payment ORDER BY created_at LIMIT 1) RETURNING id::text"
            }
            Self::Balance => {
                "UPDATE wallet SET balance = balance + 1 WHERE person_id =
                 (SELECT person_id FROM wallet_entry ORDER BY sequence LIMIT 1) RETURNING person_id::text"
            }
            _ => NOTHING,
        }
    }

    /// Plants it, in a transaction that the caller has begun; the id of the row that was chosen.
    ///
    /// # Errors
    /// When there is nothing to plant it on.
    pub(crate) async fn plant(self, session: &mut PgConnection) -> Result<String> {
        // Without triggers and foreign keys: the ledger refuses such changes.
        sqlx::query("SET LOCAL session_replication_role = replica").execute(&mut *session).await?;
        let planted: Option<(String,)> =
            sqlx::query_as(self.statement()).fetch_optional(&mut *session).await?;
        let nothing = || format!("{}: there is nothing to plant it on", self.name());
        Ok(planted.ok_or_else(nothing)?.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{books::Books, examine};

    #[test]
    fn all_means_each_of_the_others() {
        let all = Loss::spelt_out(&[Loss::All]);
        assert_eq!(all.len(), Loss::value_variants().len() - 1);
        assert_eq!(Loss::spelt_out(&[Loss::Refund, Loss::Place]), [Loss::Place, Loss::Refund]);
        assert!(Loss::spelt_out(&[]).is_empty());
    }

    #[test]
    fn who_has_to_find_a_loss_is_a_check_that_there_is() {
        let checks: Vec<_> =
            examine(&[], &Books::default()).into_iter().map(|check| check.name).collect();
        for loss in Loss::spelt_out(&[Loss::All]) {
            assert!(checks.contains(&loss.found_by()), "{loss:?}");
        }
    }
}
