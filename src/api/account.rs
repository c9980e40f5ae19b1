//! People and sessions. `signUp` is `Accounts::sign_up`, `logIn` is `Accounts::log_in`.

use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject};

use super::{
    ApiError, ApiResult, context,
    error::settle,
    list::Text,
    loaders,
    scalars::DateTime,
    user_error::{AccountError, payload},
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
    id: ID,
    /// As it was given; unique whatever its case.
    email: Text<String>,
    name: Text<String>,
    role: Role,
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
    /// From then on the session is UNAUTHENTICATED; log in again.
    expires_at: DateTime,
    user: User,
}

impl From<LoggedIn> for Session {
    fn from(LoggedIn { session, person }: LoggedIn) -> Self {
        Self {
            access_token: session.access_token,
            expires_at: session.expires_at.into(),
            user: person.into(),
        }
    }
}

/// Who wants an account.
#[derive(Debug, InputObject)]
pub(super) struct SignUpInput {
    /// At most 254 characters; unique whatever its case.
    email: String,
    /// 8 to 128 characters
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
    #[graphql(secret)]
    password: String,
}

/// A session, or why there is none.
#[derive(Debug, SimpleObject)]
pub(super) struct SessionPayload {
    session: Option<Session>,
    user_errors: Vec<AccountError>,
}

impl From<Result<LoggedIn, AccountRefusal>> for SessionPayload {
    fn from(outcome: Result<LoggedIn, AccountRefusal>) -> Self {
        let (session, user_errors) =
            payload(outcome.map(Session::from).map_err(AccountError::from));
        Self { session, user_errors }
    }
}

/// Why an account was not made or not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub(super) enum AccountErrorCode {
    /// Not an e-mail address of at most 254 characters.
    EmailInvalid,
    /// There is an account with this address already.
    EmailTaken,
    /// Not 8 to 128 characters, or what anybody would try first.
    PasswordWeak,
    /// Not 1 to 100 characters on one line.
    NameInvalid,
    /// No account has this address and this password.
    WrongCredentials,
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
            AccountRefusal::PasswordWeak => (
                Code::PasswordWeak,
                "Choose 8 to 128 characters that are not all the same and not your e-mail address.",
            ),
            AccountRefusal::NameInvalid => {
                (Code::NameInvalid, "A name has 1 to 100 characters on one line.")
            }
            AccountRefusal::WrongCredentials => {
                (Code::WrongCredentials, "No account has this e-mail address and this password.")
            }
        };
        let error = Self::new(code, message);
        match refusal.field() {
            Some(field) => error.at(&["input", field]),
            None => error,
        }
    }
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
        person.map(User::from).ok_or_else(ApiError::caller_gone)
    }
}

/// Getting in.
#[derive(Debug, Default)]
pub(super) struct AccountMutation;

#[Object]
impl AccountMutation {
    /// Makes a fan's account and opens a session.
    async fn sign_up(&self, ctx: &Context<'_>, input: SignUpInput) -> ApiResult<SessionPayload> {
        let SignUpInput { email, password, name } = input;
        let new = NewPerson { email, name, password: password.into() };
        Ok(settle(context::app(ctx)?.accounts.sign_up(new).await)?.into())
    }

    /// Opens a session. An address without an account and a wrong password get the same answer.
    async fn log_in(&self, ctx: &Context<'_>, input: LogInInput) -> ApiResult<SessionPayload> {
        let LogInInput { email, password } = input;
        let outcome = context::app(ctx)?.accounts.log_in(&email, password.into()).await;
        Ok(settle(outcome)?.into())
    }
}
