//! `frontrow retry-refund`.

use std::process::ExitCode;

use clap::Args;
use uuid::Uuid;

use super::{Failed, database};
use crate::{
    app::DatabaseArgs,
    kernel::{Failure, PaymentId},
    payment::{RetryRefusal, retry_refund},
};

#[derive(Debug, Args)]
pub(super) struct RetryRefundArgs {
    #[command(flatten)]
    pub(super) database: DatabaseArgs,
    /// The payment, as the log names it.
    #[arg(value_name = "PAYMENT")]
    payment: Uuid,
}

pub(super) async fn run(args: &RetryRefundArgs) -> Result<ExitCode, Failed> {
    let db = database::connect_migrated(&args.database).await?;
    let id = PaymentId(args.payment);
    let tried = retry_refund(&db, id).await;
    db.close().await;
    match tried {
        Ok(()) => {
            println!("The refund of payment {id} is on its way: the servers try it now.");
            Ok(ExitCode::SUCCESS)
        }
        Err(Failure::Refused(refusal)) => Err(Failed::new(match refusal {
            RetryRefusal::PaymentNotFound => format!("There is no payment {id}."),
            RetryRefusal::NotRefunded => format!(
                "Nobody has asked for the money of payment {id} back; the organizer's refundReservation does."
            ),
            RetryRefusal::OnItsWay => {
                format!("The refund of payment {id} is being tried already; wait for it.")
            }
            RetryRefusal::Done => format!("The money of payment {id} is back already."),
        })),
        Err(Failure::Fault(fault)) => Err(fault.into()),
    }
}
