//! Table `person`.

pub(super) mod provider;
pub(super) mod session;

use sea_orm::{DbErr, FromQueryResult, Value, sea_query::ArrayType};

use super::{AccountRefusal, Person, Proof};
use crate::{
    db::{Db, Session, Tx, array, constraint, uuids},
    kernel::{Failure, Fault, PersonId, Role, Timestamp},
};

/// What logging in needs to know of a person.
#[derive(Debug)]
pub(super) struct Credentials {
    pub(super) person: Person,
    /// Of who signs in elsewhere there is none.
    pub(super) password_hash: Option<String>,
}

#[derive(Debug, FromQueryResult)]
struct PersonRow {
    id: PersonId,
    email: String,
    name: String,
    role: Role,
    created_at: Timestamp,
    erased: bool,
}

impl From<PersonRow> for Person {
    fn from(row: PersonRow) -> Self {
        let PersonRow { id, email, name, role, created_at, erased } = row;
        Self { id, email, name, role, created_at, erased }
    }
}

/// Who has an address that may be spelled in these ways; of several people the one of the first.
pub(super) async fn credentials(
    db: &impl Session,
    spellings: &[String],
) -> Result<Option<Credentials>, Fault> {
    #[derive(FromQueryResult)]
    struct Row {
        #[sea_orm(nested)]
        person: PersonRow,
        password_hash: Option<String>,
    }
    const SQL: &str = "
        SELECT p.id, p.email, p.name, p.role, p.created_at, p.erased_at IS NOT NULL AS erased, p.password_hash
        FROM unnest($1) WITH ORDINALITY AS asked (email, place), LATERAL (
            SELECT * FROM person
            WHERE lower(email COLLATE \"und-x-icu\") = lower(asked.email COLLATE \"und-x-icu\") LIMIT 1
        ) AS p
        ORDER BY asked.place LIMIT 1";
    let row: Option<Row> = db.row(SQL, vec![texts(spellings)]).await?;
    Ok(row
        .map(|Row { person, password_hash }| Credentials { person: person.into(), password_hash }))
}

/// Somebody to be written.
#[derive(Debug)]
pub(super) struct NewRow<'a> {
    /// In its one spelling.
    pub(super) email: &'a str,
    /// How it may have been stored before there was one.
    pub(super) spellings: &'a [String],
    pub(super) name: &'a str,
    /// Of who signs in elsewhere there is none.
    pub(super) password_hash: Option<&'a str>,
    pub(super) role: Role,
}

/// Writes a person, unless somebody has the address in whatever spelling.
pub(super) async fn insert(
    db: &impl Session,
    id: PersonId,
    new: &NewRow<'_>,
) -> Result<Person, Failure<AccountRefusal>> {
    // The index keeps two of one spelling apart, also when they come at once. Other spellings are older than all who come.
    const SQL: &str = "
        INSERT INTO person (id, email, name, password_hash, role)
        SELECT $1, $2, $3, $4, $5
        WHERE NOT EXISTS (
            SELECT FROM person WHERE lower(email COLLATE \"und-x-icu\")
                = ANY (ARRAY(SELECT lower(other COLLATE \"und-x-icu\") FROM unnest($6) AS other)))
        RETURNING id, email, name, role, created_at, false AS erased";
    let NewRow { email, spellings, name, password_hash, role } = *new;
    let (id, role) = (id.into(), role.into());
    let values = vec![id, email.into(), name.into(), password_hash.into(), role, texts(spellings)];
    let row: Option<PersonRow> = db.row(SQL, values).await.map_err(refusal)?;
    Ok(row.ok_or(Failure::Refused(AccountRefusal::EmailTaken))?.into())
}

fn texts(texts: &[String]) -> Value {
    array(ArrayType::String, texts.iter().map(|text| text.as_str().into()))
}

fn refusal(error: DbErr) -> Failure<AccountRefusal> {
    match constraint(&error) {
        Some("person_email_unique") => Failure::Refused(AccountRefusal::EmailTaken),
        _ => Failure::Fault(error.into()),
    }
}

pub(super) async fn people(db: &Db, ids: &[PersonId]) -> Result<Vec<Person>, Fault> {
    const SQL: &str = "
        SELECT id, email, name, role, created_at, erased_at IS NOT NULL AS erased FROM person WHERE id = ANY($1)";
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
    let addresses = texts(emails);
    let ids = uuids(emails.iter().map(|_| PersonId::new().0));
    db.run(MAKE, vec![ids, addresses.clone(), password_hash.into()]).await?;
    let rows: Vec<Row> = db.rows(FIND, vec![addresses]).await?;
    Ok(rows.into_iter().map(|row| (row.id, row.now)).collect())
}

/// What somebody has to prove themselves by; `None` when they have no account.
pub(super) async fn proof(db: &Db, id: PersonId) -> Result<Option<Proof>, Fault> {
    #[derive(FromQueryResult)]
    struct Row {
        email: String,
        name: String,
        password_hash: Option<String>,
    }
    const SQL: &str =
        "SELECT email, name, password_hash FROM person WHERE id = $1 AND erased_at IS NULL";
    let row: Option<Row> = db.row(SQL, vec![id.into()]).await?;
    Ok(row.map(|Row { email, name, password_hash }| Proof { email, name, password_hash }))
}

/// Whether a person still has this password; until the commit nobody gives them another.
pub(super) async fn still_has(tx: &Tx, id: PersonId, password_hash: &str) -> Result<bool, Fault> {
    #[derive(FromQueryResult)]
    struct Row {
        _id: PersonId,
    }
    const SQL: &str = "
        SELECT id AS _id FROM person WHERE id = $1 AND password_hash = $2 AND erased_at IS NULL FOR NO KEY UPDATE";
    let row: Option<Row> = tx.row(SQL, vec![id.into(), password_hash.into()]).await?;
    Ok(row.is_some())
}

/// Gives a person another password; `false` when they have another one than they proved.
pub(super) async fn set_password(
    tx: &Tx,
    id: PersonId,
    proof: &Proof,
    password_hash: &str,
) -> Result<bool, Fault> {
    const SQL: &str = "
        UPDATE person SET password_hash = $3
        WHERE id = $1 AND password_hash IS NOT DISTINCT FROM $2::text AND erased_at IS NULL";
    let values = vec![id.into(), proof.password_hash.clone().into(), password_hash.into()];
    Ok(tx.run(SQL, values).await? > 0)
}

/// Erases who a person is; `false` when they have another password than they proved, or no account any more. The address is
/// made up, and nobody can guess it.
pub(super) async fn erase(tx: &Tx, id: PersonId, proof: &Proof) -> Result<bool, Fault> {
    const SQL: &str = "
        UPDATE person
        SET email = 'deleted-' || gen_random_uuid() || '@deleted.invalid', name = 'Deleted account', password_hash = NULL,
            erased_at = clock_timestamp()
        WHERE id = $1 AND password_hash IS NOT DISTINCT FROM $2::text AND erased_at IS NULL";
    Ok(tx.run(SQL, vec![id.into(), proof.password_hash.clone().into()]).await? > 0)
}
