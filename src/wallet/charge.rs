//! Adding points without a card.

use super::{
    ChargeRefusal, WalletEntry, Wallets, rules,
    store::{self, Charge},
};
use crate::{
    db::constraint,
    kernel::{Actor, Failure, Points},
};

impl Wallets {
    /// Adds points to the caller's wallet, once per key: the same key with the same amount returns the same entry.
    ///
    /// # Errors
    /// Every [`ChargeRefusal`], or a fault; in both cases nothing was added.
    pub async fn charge(
        &self,
        actor: Actor,
        amount: Points,
        key: &str,
    ) -> Result<WalletEntry, Failure<Vec<ChargeRefusal>>> {
        rules::check_charge(amount, key).map_err(Failure::Refused)?;
        let charge = Charge { person_id: actor.person_id, amount, key: key.to_owned() };
        if let Some(entry) = self.lanes.ask(charge.clone()).await? {
            return Ok(entry);
        }
        // The key was used before, the wallet is full, or somebody has locked it. By itself it keeps nobody else waiting.
        match store::charge(&self.money, &charge).await {
            Ok(entry) => Ok(entry),
            Err(error) => {
                let refused_by = constraint(&error).map(str::to_owned);
                match refused_by.as_deref() {
                    Some("wallet_entry_purpose_unique" | "wallet_balance_range") => {
                        self.explain(&charge).await.map_err(Failure::from)
                    }
                    _ => Err(Failure::Fault(error.into())),
                }
            }
        }
    }

    /// A charge was refused: by its key, which was used before, or by the limit of the balance.
    async fn explain(&self, charge: &Charge) -> Result<WalletEntry, Failure<ChargeRefusal>> {
        match store::charge_by_key(&self.money, charge.person_id, &charge.key).await? {
            // What a card has paid for is another charge.
            Some(entry) if entry.delta == charge.amount.get() && entry.payment_id.is_none() => {
                Ok(entry)
            }
            Some(_) => Err(Failure::Refused(ChargeRefusal::KeyReused)),
            None => Err(Failure::Refused(ChargeRefusal::BalanceLimit)),
        }
    }
}
