//! People and sessions. `signUp` is `Accounts::sign_up`, `logIn` is `Accounts::log_in`, `refreshSession` is `Accounts::refresh`,
//! `logOut` is `Accounts::log_out`, `changePassword` is `Accounts::change_password`, `deleteAccount` is `Erasures::erase`.

use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject};

use super::{
    ApiError, ApiResult,
    context::{self, Gone},
    error::settle,
    list::Text,
    loaders,
    scalars::DateTime,
    user_error::{AccountError, payload, payload_of_form},
};
use crate::{
    account::{self, AccountRefusal, LoggedIn, NewPerson},
    kernel,
};

/// What a person may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "kernel::Role")]
pub(super) enum Role {
    /// Buys.
    Fan,
    /// Sells: makes concerts and runs their waiting rooms.
    Organizer,
}

/// A person with an account. Everybody sees themselves; an organizer sees who holds and owns seats at their schedules.
#[derive(Debug, Clone, SimpleObject)]
pub(super) struct User {
    /// Names the person; it never changes.
    id: ID,
    /// As it was given; unique whatever its case.
    email: Text<String>,
    /// What to call them.
    name: Text<String>,
    /// What they may do.
    role: Role,
    /// When they signed up.
    created_at: DateTime,
}

impl From<account::Person> for User {
    fn from(person: account::Person) -> Self {
        Self {
            id: person.id.0.into(),
            email: Text::new(person.email),
            name: Text::new(person.name),
            role: person.role.into(),
            created_at: person.created_at.into(),
        }
    }
}

/// Proof of who somebody is, for a while.
#[derive(Debug, Clone, SimpleObject)]
pub(super) struct Session {
    /// Send it as `Authorization: Bearer <accessToken>`; on a WebSocket in the payload of connection_init, as
    /// `{"authorization": "Bearer <accessToken>"}`.
    access_token: String,
    /// From then on the access token is UNAUTHENTICATED; refresh the session before.
    expires_at: DateTime,
    /// Good for one refreshSession; keep it where scripts of other pages cannot read it.
    refresh_token: String,
    /// From then on the refresh token is no longer good, if it was not used before; log in again.
    refresh_expires_at: DateTime,
    /// Whose it is.
    user: User,
}

impl From<LoggedIn> for Session {
    fn from(logged_in: LoggedIn) -> Self {
        let LoggedIn { session, refresh_token, refresh_expires_at, person } = logged_in;
        Self {
            access_token: session.access_token,
            expires_at: session.expires_at.into(),
            refresh_token,
            refresh_expires_at: refresh_expires_at.into(),
            user: person.into(),
        }
    }
}

/// Who wants an account.
#[derive(Debug, InputObject)]
pub(super) struct SignUpInput {
    /// At most 254 characters; unique whatever its case.
    email: String,
    /// 8 to 128 characters, and not what anybody would try first.
    #[graphql(secret)]
    password: String,
    /// 1 to 100 characters on one line.
    name: String,
}

/// Who wants to be let in.
#[derive(Debug, InputObject)]
pub(super) struct LogInInput {
    /// Upper and lower case are the same.
    email: String,
    /// However a keyboard composes its letters.
    #[graphql(secret)]
    password: String,
}

/// Another password.
#[derive(Debug, InputObject)]
pub(super) struct ChangePasswordInput {
    /// The one that is good now; empty for who signs in at an identity provider.
    #[graphql(secret)]
    old_password: String,
    /// 8 to 128 characters, and not what anybody would try first.
    #[graphql(secret)]
    new_password: String,
}

/// Nothing, or why the session was not ended.
#[derive(Debug, SimpleObject)]
pub(super) struct LogOutPayload {
    /// Why nothing was done; empty when it was.
    user_errors: Vec<AccountError>,
}

/// Nothing, or why the account was not deleted.
#[derive(Debug, SimpleObject)]
pub(super) struct DeleteAccountPayload {
    /// Why nothing was done; empty when it was.
    user_errors: Vec<AccountError>,
}

/// A session, or why there is none.
#[derive(Debug, SimpleObject)]
pub(super) struct SessionPayload {
    /// The new session; null when there is none.
    session: Option<Session>,
    /// Why nothing was done; empty when it was.
    user_errors: Vec<AccountError>,
}

impl From<Result<LoggedIn, AccountRefusal>> for SessionPayload {
    fn from(outcome: Result<LoggedIn, AccountRefusal>) -> Self {
        let (session, user_errors) =
            payload(outcome.map(Session::from).map_err(AccountError::from));
        Self { session, user_errors }
    }
}

/// Why an account was not made, not opened, not changed or not deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub(super) enum AccountErrorCode {
    /// Not an e-mail address of at most 254 characters.
    EmailInvalid,
    /// There is an account with this address already.
    EmailTaken,
    /// Not 8 to 128 characters, or what anybody would try first: a common password, also with a year behind it or digits for letters;
    /// characters that repeat or follow each other; a date; one made of the person's name or address, or of the shop's name.
    PasswordWeak,
    /// Not 1 to 100 characters on one line.
    NameInvalid,
    /// No account has this address and this password; or, of somebody who is in, this is not their password.
    WrongCredentials,
    /// The refresh token is none, was used up, or its session has ended; log in again.
    SessionEnded,
    /// Seats are held or owned at performances to come; or, of an organizer, sold there.
    StillHasSeats,
}

impl From<AccountRefusal> for AccountError {
    fn from(refusal: AccountRefusal) -> Self {
        use AccountErrorCode as Code;
        let (code, message) = match refusal {
            AccountRefusal::EmailInvalid => {
                (Code::EmailInvalid, "This is not an e-mail address of at most 254 characters.")
            }
            AccountRefusal::EmailTaken => {
                (Code::EmailTaken, "There is an account with this e-mail address; log in.")
            }
            AccountRefusal::PasswordWeak(fault) => (Code::PasswordWeak, fault.words()),
            AccountRefusal::NameInvalid => {
                (Code::NameInvalid, "A name has 1 to 100 characters on one line.")
            }
            AccountRefusal::WrongCredentials => {
                (Code::WrongCredentials, "No account has this e-mail address and this password.")
            }
            AccountRefusal::SessionEnded => {
                (Code::SessionEnded, "This session has ended; log in again.")
            }
            AccountRefusal::SessionUnused => {
                (Code::SessionEnded, "This session was not used for too long; log in again.")
            }
            AccountRefusal::SessionAged => {
                (Code::SessionEnded, "This session is as old as sessions become; log in again.")
            }
            AccountRefusal::StillHasSeats => (
                Code::StillHasSeats,
                "You hold or own seats at performances to come. Give them back, or come again afterwards.",
            ),
            AccountRefusal::StillSells => (
                Code::StillHasSeats,
                "Your performances to come are sold or on sale. Call them off, or come again afterwards.",
            ),
        };
        let error = Self::new(code, message);
        match refusal.field() {
            Some(field) => error.at(&["input", field]),
            None => error,
        }
    }
}

/// The refusal of somebody who is in, with the field at fault.
fn not_yours(refusal: AccountRefusal, old: &[&str], new: &[&str]) -> AccountError {
    match refusal {
        AccountRefusal::WrongCredentials => {
            let code = AccountErrorCode::WrongCredentials;
            AccountError::new(code, "This is not your password.").at(old)
        }
        AccountRefusal::PasswordWeak(_) => AccountError::from(refusal).at(new),
        other => other.into(),
    }
}

/// Whether a mutation brings its own proof of who asks. A session in the request's header says nothing then, so it does no
/// harm that it has ended: clients send it by habit.
pub fn brings_proof(mutation: &str) -> bool {
    ["signUp", "logIn", "refreshSession"].contains(&mutation)
}

/// Whether a mutation ends a session: that is done with a token that has ended, too.
pub fn is_log_out(mutation: &str) -> bool {
    mutation == "logOut"
}

/// Who is asking.
#[derive(Debug, Default)]
pub(super) struct AccountQuery;

#[Object]
impl AccountQuery {
    /// The caller.
    async fn me(&self, ctx: &Context<'_>) -> ApiResult<User> {
        let actor = context::actor(ctx)?;
        let person = loaders::load(ctx, actor.person_id).await?;
        let person = person.filter(|person| !person.erased);
        person.map(User::from).ok_or_else(ApiError::caller_gone)
    }
}

/// Getting in, and out.
#[derive(Debug, Default)]
pub(super) struct AccountMutation;

#[Object]
impl AccountMutation {
    /// Makes a fan's account and opens a session. Every field at fault has an entry in `userErrors`.
    async fn sign_up(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Who wants an account.")] input: SignUpInput,
    ) -> ApiResult<SessionPayload> {
        let SignUpInput { email, password, name } = input;
        let new = NewPerson { email, name, password: password.into() };
        let outcome = settle(context::app(ctx)?.accounts.sign_up(new).await)?;
        let (session, user_errors) =
            payload_of_form(outcome.map(Session::from), AccountError::from);
        Ok(SessionPayload { session, user_errors })
    }

    /// Opens a session. An address without an account and a wrong password get the same answer.
    async fn log_in(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Who wants to be let in.")] input: LogInInput,
    ) -> ApiResult<SessionPayload> {
        let LogInInput { email, password } = input;
        let (accounts, origin) = (&context::app(ctx)?.accounts, context::origin(ctx));
        let outcome = accounts.log_in(&email, password.into(), origin).await;
        Ok(settle(outcome)?.into())
    }
    /// A new session for a refresh token, which is used up; one that comes twice ends every session of its family. For a minute
    /// the used token is answered as before, for clients that lost the answer. Needs no other session: one that has ended may
    /// stand in the header.
    async fn refresh_session(
        &self,
        ctx: &Context<'_>,
        #[graphql(secret, desc = "The `refreshToken` of the last session that was given out.")]
        refresh_token: String,
    ) -> ApiResult<SessionPayload> {
        let outcome = context::app(ctx)?.accounts.refresh(&refresh_token).await;
        let (session, user_errors) = payload(
            settle(outcome)?
                .map(Session::from)
                .map_err(|refusal| AccountError::from(refusal).at(&["refreshToken"])),
        );
        Ok(SessionPayload { session, user_errors })
    }

    /// Ends the caller's session, and those that came from it by refreshing: their access tokens are UNAUTHENTICATED from now on,
    /// their WebSockets are closed with 4403. Safe to repeat, also with an access token that has ended.
    async fn log_out(&self, ctx: &Context<'_>) -> ApiResult<LogOutPayload> {
        let app = context::app(ctx)?;
        let actor = match ctx.data_opt::<Gone>() {
            Some(Gone(actor)) => *actor,
            None => context::actor(ctx)?,
        };
        if !app.accounts.log_out(actor).await? {
            context::still_here(ctx, actor).await?;
        }
        Ok(LogOutPayload { user_errors: Vec::new() })
    }

    /// Ends all other sessions of the caller, and gives their own out anew.
    async fn change_password(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The old one and the new one.")] input: ChangePasswordInput,
    ) -> ApiResult<SessionPayload> {
        let actor = context::actor(ctx)?;
        let ChangePasswordInput { old_password, new_password } = input;
        let accounts = &context::app(ctx)?.accounts;
        let outcome =
            accounts.change_password(actor, old_password.into(), new_password.into()).await;
        let refused =
            |refusal| not_yours(refusal, &["input", "oldPassword"], &["input", "newPassword"]);
        let (session, user_errors) = payload_of_form(settle(outcome)?.map(Session::from), refused);
        Ok(SessionPayload { session, user_errors })
    }

    /// Erases who the caller is. What they bought and paid stays in the books, without a name. Refused while a seat is held or
    /// owned for the future. Their places in line and their sessions end; points that are left are lost. Who signs in at an
    /// identity provider gives an empty password.
    async fn delete_account(
        &self,
        ctx: &Context<'_>,
        #[graphql(secret, desc = "The caller's own.")] password: String,
    ) -> ApiResult<DeleteAccountPayload> {
        let actor = context::actor(ctx)?;
        let outcome = settle(context::app(ctx)?.erasures.erase(actor, password.into()).await)?;
        let refused = |refusal| not_yours(refusal, &["password"], &[]);
        let (_, user_errors) = payload(outcome.map_err(refused));
        Ok(DeleteAccountPayload { user_errors })
    }
}
