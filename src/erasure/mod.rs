//! Deleting an account: the books stay, the person goes.
//!
//! This changes what belongs to several features at once, in one transaction of theirs. Nothing here has a table: the person is
//! `account`'s, the places in line are `waiting_room`'s. Reservations, payments and the ledger keep the person's id, which names
//! nobody any more.

use secrecy::SecretString;

use crate::{
    account::{AccountRefusal, Accounts},
    catalogue::Catalogue,
    db::Db,
    kernel::{Actor, Failure, Role},
    reservation::Reservations,
    waiting_room::WaitingRooms,
};

/// Deletes accounts; cheap to clone.
#[derive(Debug, Clone)]
pub struct Erasures {
    db: Db,
    accounts: Accounts,
    waiting_rooms: WaitingRooms,
}

impl Erasures {
    /// The accounts in `db`, with ends of places told to `waiting_rooms`.
    pub const fn new(db: Db, accounts: Accounts, waiting_rooms: WaitingRooms) -> Self {
        Self { db, accounts, waiting_rooms }
    }

    /// Erases who somebody is, ends their sessions and gives their places in line up. Points that are left are lost.
    ///
    /// # Errors
    /// [`AccountRefusal::WrongCredentials`], [`AccountRefusal::StillHasSeats`] while they hold or own a seat for the future,
    /// [`AccountRefusal::StillSells`] while a performance of theirs that is on sale, or was, is to come; or a fault.
    pub async fn erase(
        &self,
        actor: Actor,
        password: SecretString,
    ) -> Result<(), Failure<AccountRefusal>> {
        let person_id = actor.person_id;
        let proof = self.accounts.prove(actor, password).await?;
        let refused = |refusal| Err(Failure::Refused(refusal));
        let (ended, left) = self
            .db
            .tx(async |tx| {
                // First the places: who holds a seat at this instant is waited for, and nothing is held without a place.
                let left = WaitingRooms::leave_all_in_tx(tx, person_id).await?;
                if Reservations::has_seats_ahead_in_tx(tx, person_id).await? {
                    return refused(AccountRefusal::StillHasSeats);
                }
                if actor.role == Role::Organizer
                    && Catalogue::has_sales_ahead_in_tx(tx, person_id).await?
                {
                    return refused(AccountRefusal::StillSells);
                }
                let ended = self.accounts.erase_in_tx(tx, actor, &proof).await?;
                Ok((ended, left))
            })
            .await?;
        self.accounts.tell_ended(&ended).await;
        self.waiting_rooms.tell_left(left).await;
        Ok(())
    }
}
