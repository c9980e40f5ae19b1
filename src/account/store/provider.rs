//! Table `external_identity`: whose a name at an identity provider is.

use sea_orm::FromQueryResult;

use crate::{
    account::{address, provider::Newcomer, store::NewRow},
    db::{Db, Session, Tx},
    kernel::{Failure, Fault, PersonId, Role},
};

/// How often a person is looked for whom somebody else makes at the same instant, or whose address somebody else takes.
const ATTEMPTS: usize = 3;

/// Why a newcomer was not written.
enum Taken {
    /// Somebody else has just written the same person.
    Known,
    /// Somebody else has the address.
    Email,
}

/// The person of a subject, with the role that they have now; made when there is none.
///
/// An address that somebody has is not taken, and nobody is found by it: who signs in elsewhere never gets into an account that was
/// made here.
pub(in crate::account) async fn person(
    db: &Db,
    issuer: &str,
    subject: &str,
    newcomer: &Newcomer,
) -> Result<PersonId, Fault> {
    let mut email = newcomer.email.clone();
    for _ in 0..ATTEMPTS {
        if let Some(id) = known(db, issuer, subject, newcomer.role).await? {
            return Ok(id);
        }
        let address = email.clone().unwrap_or_else(Newcomer::made_up_email);
        let made = db.tx(async |tx| make(tx, issuer, subject, newcomer, &address).await).await;
        match made {
            Ok(()) => return Ok(newcomer.id),
            Err(Failure::Refused(Taken::Known)) => {}
            Err(Failure::Refused(Taken::Email)) => email = None,
            Err(Failure::Fault(fault)) => return Err(fault),
        }
    }
    Err(Fault::unavailable("a person is being made and deleted at the same time"))
}

async fn known(
    db: &Db,
    issuer: &str,
    subject: &str,
    role: Role,
) -> Result<Option<PersonId>, Fault> {
    #[derive(FromQueryResult)]
    struct Row {
        id: PersonId,
        role: Role,
    }
    const FIND: &str = "
        SELECT p.id, p.role FROM external_identity e JOIN person p ON p.id = e.person_id
        WHERE e.issuer = $1 AND e.subject = $2 AND p.erased_at IS NULL";
    const CHANGE: &str = "UPDATE person SET role = $2 WHERE id = $1 AND erased_at IS NULL";
    let row: Option<Row> = db.row(FIND, vec![issuer.into(), subject.into()]).await?;
    let Some(row) = row else { return Ok(None) };
    if row.role != role {
        db.run(CHANGE, vec![row.id.into(), role.into()]).await?;
    }
    Ok(Some(row.id))
}

async fn make(
    tx: &Tx,
    issuer: &str,
    subject: &str,
    newcomer: &Newcomer,
    email: &str,
) -> Result<(), Failure<Taken>> {
    const IDENTITY: &str = "
        INSERT INTO external_identity (issuer, subject, person_id) VALUES ($1, $2, $3)
        ON CONFLICT (issuer, subject) DO NOTHING";
    let Newcomer { id, name, role, .. } = newcomer;
    let spellings = address::spellings(email);
    let (name, role) = (name.as_str(), *role);
    let row = NewRow { email, spellings: &spellings, name, password_hash: None, role };
    super::insert(tx, *id, &row).await.map_err(|failure| match failure {
        Failure::Refused(_) => Failure::Refused(Taken::Email),
        Failure::Fault(fault) => Failure::Fault(fault),
    })?;
    let values = vec![issuer.into(), subject.into(), (*id).into()];
    let written = tx.run(IDENTITY, values).await.map_err(Fault::from)?;
    if written == 0 { Err(Failure::Refused(Taken::Known)) } else { Ok(()) }
}

/// Forgets who a person is elsewhere.
pub(in crate::account) async fn forget(tx: &Tx, person_id: PersonId) -> Result<(), Fault> {
    const SQL: &str = "DELETE FROM external_identity WHERE person_id = $1";
    tx.run(SQL, vec![person_id.into()]).await?;
    Ok(())
}
