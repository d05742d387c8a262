//! What a failed statement means: that the database is not there, that another one was in the way, or that it was wrong.

use sea_orm::sqlx;
use sea_orm::{DbErr, RuntimeErr};

/// What PostgreSQL says when it stops, starts, lost a connection, has none left, nor memory or room on its disk, is a standby
/// still, or gave up a statement that took too long: trying again later may help.
const AWAY: [&str; 12] =
    ["57P01", "57P02", "57P03", "57P05", "57014", "53100", "53200", "53300", "08000", "08003", "08006", "25006"];

/// What SQLite says when another one has held its lock for longer than a writer waits, in its four ways.
const BUSY: [&str; 4] = ["5", "261", "517", "773"];

/// What PostgreSQL says when two transactions were in each other's way, or one waited too long: trying again at once may help.
const IN_THE_WAY: [&str; 3] = ["40001", "40P01", "55P03"];

/// Whether the database does not answer, rather than refuse. Whether the statement was carried out is not known.
pub fn is_unavailable(error: &DbErr) -> bool {
    match error {
        DbErr::ConnectionAcquire(_) | DbErr::Conn(_) => true,
        _ => sql_error(error).is_some_and(|error| match error {
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => true,
            sqlx::Error::Database(error) => {
                error.code().is_some_and(|code| AWAY.contains(&&*code) || BUSY.contains(&&*code))
            }
            _ => false,
        }),
    }
}

/// Whether another transaction was in the way; nothing was changed.
pub fn is_conflict(error: &DbErr) -> bool {
    let code = sql_error(error).and_then(|error| error.as_database_error()?.code());
    code.is_some_and(|code| IN_THE_WAY.contains(&&*code))
}

fn sql_error(error: &DbErr) -> Option<&sqlx::Error> {
    let (DbErr::Exec(RuntimeErr::SqlxError(error))
    | DbErr::Query(RuntimeErr::SqlxError(error))
    | DbErr::Conn(RuntimeErr::SqlxError(error))) = error
    else {
        return None;
    };
    Some(error)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_broken_connection_is_no_fault_of_ours_and_a_wrong_statement_is() {
        let check = |error: sqlx::Error, expected: bool| {
            let error = DbErr::Query(RuntimeErr::SqlxError(Arc::new(error)));
            assert_eq!(is_unavailable(&error), expected, "{error}");
            assert!(!is_conflict(&error), "{error}");
        };
        check(sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into()), true);
        check(sqlx::Error::PoolTimedOut, true);
        check(sqlx::Error::RowNotFound, false);
        assert!(!is_unavailable(&DbErr::Custom("wrong".into())));
    }
}
