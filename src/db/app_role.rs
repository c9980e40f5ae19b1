//! What the server's own role may do: less than whoever owns the tables. It makes no tables, deletes nothing but sessions and
//! identities elsewhere, and does not touch what is in the ledger.

use sea_orm::{ConnectionTrait, FromQueryResult};

use super::{Db, Session, Tx};
use crate::kernel::{Failure, Fault};

/// Why a role was given nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoleRefusal {
    /// There is no such role.
    Missing,
    /// It can change the ledger whatever it is granted: it is a superuser, owns the tables, or is a member of who does.
    Mighty,
    /// It may make tables in this schema, as everybody may in databases that are older than Postgres 15.
    MakesTables,
}

/// What a role has to have of a table; ready to stand in a statement.
macro_rules! needed {
    () => {
        "CASE tablename WHEN 'wallet_entry' THEN 'SELECT, INSERT'
                        WHEN 'seaql_migrations' THEN 'SELECT'
                        WHEN 'session' THEN 'SELECT, INSERT, UPDATE, DELETE'
                        WHEN 'ended_session' THEN 'SELECT, INSERT, UPDATE, DELETE'
                        WHEN 'external_identity' THEN 'SELECT, INSERT, UPDATE, DELETE'
                        ELSE 'SELECT, INSERT, UPDATE' END"
    };
}

/// Grants a role what the server needs, and takes from it what the server does not: UPDATE, DELETE and TRUNCATE of the ledger,
/// DELETE and TRUNCATE of everything else but the tables of sessions and of identities elsewhere, which
/// nothing refers to. Safe to repeat; after a migration it has to be, for there may be new tables.
///
/// # Errors
/// A [`RoleRefusal`], or a fault; in both cases nothing was granted.
pub async fn grant(db: &Db, role: &str) -> Result<(), Failure<RoleRefusal>> {
    db.tx(async |tx| {
        if !exists(tx, role).await? {
            return Err(Failure::Refused(RoleRefusal::Missing));
        }
        for statement in statements(tx, role).await? {
            tx.execute_unprepared(&statement).await.map_err(Fault::from)?;
        }
        match rights(tx, role).await? {
            Rights { changes_ledger: true, .. } => Err(Failure::Refused(RoleRefusal::Mighty)),
            Rights { makes_tables: true, .. } => Err(Failure::Refused(RoleRefusal::MakesTables)),
            Rights { .. } => Ok(()),
        }
    })
    .await
}

async fn exists(tx: &Tx, role: &str) -> Result<bool, Fault> {
    #[derive(FromQueryResult)]
    struct Row {
        found: bool,
    }
    if role.contains('\0') {
        return Ok(false);
    }
    const SQL: &str = "SELECT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = $1) AS found";
    let row: Option<Row> = tx.row(SQL, vec![role.into()]).await?;
    Ok(row.is_some_and(|row| row.found))
}

/// The statements that grant and revoke, with every name quoted by Postgres itself.
async fn statements(tx: &Tx, role: &str) -> Result<Vec<String>, Fault> {
    #[derive(FromQueryResult)]
    struct Row {
        sql: String,
    }
    const SQL: &str = concat!(
        "SELECT format('REVOKE ALL ON SCHEMA %1$I FROM %2$I', current_schema(), $1::text) AS sql, 1 AS step
         UNION ALL
         SELECT format('GRANT USAGE ON SCHEMA %1$I TO %2$I', current_schema(), $1::text), 2
         UNION ALL
         SELECT format('REVOKE ALL ON TABLE %1$I.%2$I FROM %3$I', schemaname, tablename, $1::text), 3
         FROM pg_tables WHERE schemaname = current_schema() AND tableowner = current_user
         UNION ALL
         SELECT format('GRANT %4$s ON TABLE %1$I.%2$I TO %3$I', schemaname, tablename, $1::text, ",
        needed!(),
        "), 4
         FROM pg_tables WHERE schemaname = current_schema() AND tableowner = current_user
         ORDER BY step, sql"
    );
    let rows: Vec<Row> = tx.rows(SQL, vec![role.into()]).await?;
    Ok(rows.into_iter().map(|row| row.sql).collect())
}

/// What a role may do that the server needs not do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromQueryResult)]
pub struct Rights {
    /// Change or delete what is in the ledger.
    pub changes_ledger: bool,
    /// Make tables.
    pub makes_tables: bool,
}

/// What our own role may do that it needs not, in a database that has all tables.
///
/// # Errors
/// When Postgres does not answer.
pub async fn own_rights(db: &Db) -> Result<Rights, Fault> {
    #[derive(FromQueryResult)]
    struct Row {
        name: String,
    }
    let row: Option<Row> = db.row("SELECT current_user::text AS name", vec![]).await?;
    let row = row.ok_or(Fault::internal("a SELECT without FROM returned no row"))?;
    rights(db, &row.name).await
}

/// What our own role may not do and has to, a line for each table: `seat: UPDATE`.
///
/// # Errors
/// When Postgres does not answer.
pub async fn lacks(db: &Db) -> Result<Vec<String>, Fault> {
    #[derive(FromQueryResult)]
    struct Row {
        lacks: String,
    }
    const SQL: &str = concat!(
        "SELECT format('%s: %s', tablename, string_agg(privilege, ', ')) AS lacks
         FROM pg_tables, unnest(string_to_array(",
        needed!(),
        ", ', ')) AS privilege
         WHERE schemaname = current_schema()
           AND tableowner = (SELECT tableowner FROM pg_tables
                             WHERE schemaname = current_schema() AND tablename = 'seaql_migrations')
           AND NOT has_table_privilege(format('%I.%I', schemaname, tablename), privilege)
         GROUP BY tablename ORDER BY tablename"
    );
    let rows: Vec<Row> = db.rows(SQL, vec![]).await?;
    Ok(rows.into_iter().map(|row| row.lacks).collect())
}

/// What a role may do, by whatever way it got there.
async fn rights(session: &impl Session, role: &str) -> Result<Rights, Fault> {
    const SQL: &str = "
        SELECT has_table_privilege($1::text, 'wallet_entry', 'UPDATE, DELETE, TRUNCATE')
                   OR has_any_column_privilege($1::text, 'wallet_entry', 'UPDATE')
                   OR pg_has_role($1::text, (SELECT relowner FROM pg_class WHERE oid = 'wallet_entry'::regclass), 'MEMBER')
                   AS changes_ledger,
               has_schema_privilege($1::text, current_schema(), 'CREATE') AS makes_tables";
    let row: Option<Rights> = session.row(SQL, vec![role.into()]).await?;
    row.ok_or(Fault::internal("a SELECT without FROM returned no row"))
}
