//! Table `person`.

use sea_orm::{DbErr, FromQueryResult, sea_query::ArrayType};

use super::{AccountRefusal, Person};
use crate::{
    db::{Db, Session, array, constraint, uuids},
    kernel::{Failure, Fault, PersonId, Role, Timestamp},
};

/// What logging in needs to know of a person.
#[derive(Debug)]
pub(super) struct Credentials {
    pub(super) person: Person,
    pub(super) password_hash: String,
    /// The database's clock.
    pub(super) now: Timestamp,
}

#[derive(Debug, FromQueryResult)]
struct PersonRow {
    id: PersonId,
    email: String,
    name: String,
    role: Role,
    created_at: Timestamp,
}

impl From<PersonRow> for Person {
    fn from(row: PersonRow) -> Self {
        let PersonRow { id, email, name, role, created_at } = row;
        Self { id, email, name, role, created_at }
    }
}

pub(super) async fn credentials(
    db: &impl Session,
    email: &str,
) -> Result<Option<Credentials>, Fault> {
    #[derive(FromQueryResult)]
    struct Row {
        #[sea_orm(nested)]
        person: PersonRow,
        password_hash: String,
        now: Timestamp,
    }
    const SQL: &str = "
        SELECT id, email, name, role, created_at, password_hash, clock_timestamp() AS now
        FROM person WHERE lower(email COLLATE \"und-x-icu\") = lower($1 COLLATE \"und-x-icu\")";
    let row: Option<Row> = db.row(SQL, vec![email.into()]).await?;
    Ok(row.map(|Row { person, password_hash, now }| Credentials {
        person: person.into(),
        password_hash,
        now,
    }))
}

/// Also tells the database's time.
pub(super) async fn insert(
    db: &impl Session,
    id: PersonId,
    email: &str,
    name: &str,
    password_hash: &str,
    role: Role,
) -> Result<(Person, Timestamp), Failure<AccountRefusal>> {
    const SQL: &str = "
        INSERT INTO person (id, email, name, password_hash, role) VALUES ($1, $2, $3, $4, $5)
        RETURNING id, email, name, role, created_at";
    let values = vec![id.into(), email.into(), name.into(), password_hash.into(), role.into()];
    let row: Option<PersonRow> = db.row(SQL, values).await.map_err(refusal)?;
    let person = Person::from(row.ok_or(Fault::internal("an insert returned no row"))?);
    let now = person.created_at;
    Ok((person, now))
}

fn refusal(error: DbErr) -> Failure<AccountRefusal> {
    match constraint(&error) {
        Some("person_email_unique") => Failure::Refused(AccountRefusal::EmailTaken),
        _ => Failure::Fault(error.into()),
    }
}

pub(super) async fn people(db: &Db, ids: &[PersonId]) -> Result<Vec<Person>, Fault> {
    const SQL: &str = "SELECT id, email, name, role, created_at FROM person WHERE id = ANY($1)";
    let rows: Vec<PersonRow> = db.rows(SQL, vec![uuids(ids.iter().map(|id| id.0))]).await?;
    Ok(rows.into_iter().map(Person::from).collect())
}

/// The fans of these addresses in their order, made where missing, each with the database's time.
pub(super) async fn ensure_fans(
    db: &Db,
    emails: &[String],
    password_hash: &str,
) -> Result<Vec<(PersonId, Timestamp)>, Fault> {
    #[derive(FromQueryResult)]
    struct Row {
        id: PersonId,
        now: Timestamp,
    }
    const MAKE: &str = "
        INSERT INTO person (id, email, name, password_hash, role)
        SELECT id, email, split_part(email, '@', 1), $3, 'FAN' FROM unnest($1, $2) AS new (id, email)
        ON CONFLICT (lower(email COLLATE \"und-x-icu\")) DO NOTHING";
    const FIND: &str = "
        SELECT id, clock_timestamp() AS now FROM person
        WHERE lower(email COLLATE \"und-x-icu\") = ANY($1) AND role = 'FAN' ORDER BY email";
    let addresses = array(ArrayType::String, emails.iter().map(|email| email.as_str().into()));
    let ids = uuids(emails.iter().map(|_| PersonId::new().0));
    db.run(MAKE, vec![ids, addresses.clone(), password_hash.into()]).await?;
    let rows: Vec<Row> = db.rows(FIND, vec![addresses]).await?;
    Ok(rows.into_iter().map(|row| (row.id, row.now)).collect())
}
