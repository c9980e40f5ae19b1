//! `frontrow add-organizer`. The password comes by standard input, so that it stands in no process list and no shell
//! history.

use std::process::ExitCode;

use clap::Args;
use secrecy::SecretString;

use super::{Failed, database};
use crate::{
    account::{AccountRefusal, Accounts, NewPerson},
    app::DatabaseArgs,
    kernel::Failure,
};

#[derive(Debug, Args)]
pub(super) struct AddOrganizerArgs {
    #[command(flatten)]
    pub(super) database: DatabaseArgs,
    /// Their e-mail address.
    #[arg(long)]
    email: String,
    /// What to call them.
    #[arg(long)]
    name: String,
}

pub(super) async fn run(args: &AddOrganizerArgs) -> Result<ExitCode, Failed> {
    let db = database::connect_migrated(&args.database).await?;
    let accounts = Accounts::new(db, super::seed::own_sessions());
    let new =
        NewPerson { email: args.email.clone(), name: args.name.clone(), password: first_line()? };
    match accounts.add_organizer(new).await {
        Ok(person) => {
            println!("{} is an organizer now: {}.", person.email, person.id);
            Ok(ExitCode::SUCCESS)
        }
        Err(Failure::Refused(refusals)) => {
            let why: Vec<String> = refusals.into_iter().map(words).collect();
            Err(Failed::new(why.join(" ")))
        }
        Err(Failure::Fault(fault)) => Err(fault.into()),
    }
}

fn words(refusal: AccountRefusal) -> String {
    let text = match refusal {
        AccountRefusal::EmailInvalid => "--email is not an e-mail address.",
        AccountRefusal::EmailTaken => "There is an account with this e-mail address already.",
        AccountRefusal::NameInvalid => "--name has to be 1 to 100 characters on one line.",
        AccountRefusal::PasswordWeak(fault) => {
            return format!("The password is the first line of standard input. {}", fault.words());
        }
        AccountRefusal::WrongCredentials
        | AccountRefusal::SessionEnded
        | AccountRefusal::SessionUnused
        | AccountRefusal::SessionAged
        | AccountRefusal::StillHasSeats
        | AccountRefusal::StillSells => "The account could not be made.",
    };
    text.to_owned()
}

fn first_line() -> Result<SecretString, Failed> {
    let mut line = String::new();
    std::io::stdin()
        .read_line(&mut line)
        .map_err(|error| Failed::new(format!("Standard input cannot be read: {error}.")))?;
    Ok(line.trim_end_matches(['\r', '\n']).into())
}
