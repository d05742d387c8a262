//! A [`Book`] out of the database and into it: a few statements for many calls, the same texts whatever their number (rows
//! go in and come out as JSON), so that they are prepared once and cost one round trip each.
//!
//! Between [`read`] and [`write`] the transaction holds the locks of its users' balances: PostgreSQL's row locks, taken in the
//! order of the ids so that two instances never wait for each other, or SQLite's one lock for writers.

use std::collections::HashMap;

use kit::database::{Database, WriteTransaction};
use kit::{Credits, clock};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DbBackend, DbErr, EntityTrait, QueryFilter, QueryResult, Statement,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::book::Book;
use super::calls::{Call, KeyId, Remembered};
use super::gifts::{Code, Gift};
use super::postings::{Kind, Parts};
use super::rows::{Balance, Reservation, State};
use super::undo::{Original, Undone};
use super::{Funds, Now, sql};
use crate::entity::{balance, entry, idempotency_key, posting};

/// Opens a new user's accounts and gives the sign-up credits: once, since the accounts can be opened only once.
pub(crate) async fn open(tx: &WriteTransaction, user: Uuid, grant: Credits, now: Now) -> Result<(), DbErr> {
    let first = (grant > Credits::ZERO).then(clock::new_id);
    let row = balance::ActiveModel {
        user_id: Set(user),
        free: Set(grant.units()),
        paid: Set(0),
        version: Set(i64::from(first.is_some())),
        last_posting: Set(first),
        closed_at: Set(None),
    };
    balance::Entity::insert(row).exec_without_returning(&**tx).await?;
    let Some(id) = first else { return Ok(()) };
    let kind = Kind::Grant(Parts { free: grant, paid: Credits::ZERO });
    let row = posting::ActiveModel {
        id: Set(id),
        user_id: Set(user),
        kind: Set(kind.as_str().to_owned()),
        reason: Set("sign-up".to_owned()),
        reservation_id: Set(None),
        balance_after: Set(grant.units()),
        created_at: Set(now.as_millisecond()),
        actor: Set(None),
        reverses: Set(None),
    };
    posting::Entity::insert(row).exec_without_returning(&**tx).await?;
    let rows = kind.entries().into_iter().flatten().map(|(account, amount)| entry::ActiveModel {
        posting_id: Set(id),
        account: Set(account.as_str().to_owned()),
        user_id: Set(user),
        amount: Set(amount.units()),
    });
    entry::Entity::insert_many(rows).exec_without_returning(&**tx).await?;
    Ok(())
}

/// Locks and reads what the calls are about.
pub(super) async fn read(tx: &WriteTransaction, calls: &[&Call]) -> Result<Book, DbErr> {
    let mut book = Book::default();
    let users: Vec<String> = calls.iter().map(|call| id(call.user())).collect();
    let reservations: Vec<String> = calls.iter().filter_map(|call| call.reservation()).map(id).collect();
    let closing = calls.iter().filter(|call| matches!(call, Call::Close { .. })).map(|call| id(call.user()));
    let closing: Vec<String> = closing.collect();
    let wanted: Vec<KeyRow> = calls.iter().filter_map(|call| call.key()).map(|(key, _)| KeyRow::wanted(key)).collect();
    let wanted = [text(&reservations), text(&closing), text(&wanted)];
    let mut rows = lock_and_read(tx, text(&users), wanted).await?;
    let read = rows.pop().ok_or_else(|| DbErr::RecordNotFound("the ledger's reading".to_owned()))?;
    read_reservations(&read, &mut book)?;
    read_keys(&read, &mut book)?;
    for row in rows {
        let balance = Balance {
            parts: Parts { free: credits(&row, "available")?, paid: credits(&row, "paid")? },
            version: row.try_get("", "version")?,
            last_posting: row.try_get("", "last_posting")?,
            closed_at: row.try_get("", "closed_at")?,
            disabled: row.try_get::<Option<i64>>("", "disabled_at")?.is_some(),
        };
        book.balances.insert(row.try_get("", "user_id")?, balance);
    }
    let codes: Vec<&str> = calls.iter().filter_map(|call| code(call)).map(Code::as_str).collect();
    if !codes.is_empty() {
        read_gifts(tx, &codes, &users, &mut book).await?;
    }
    read_originals(tx, calls, &mut book).await?;
    read_given(tx, calls, &mut book).await?;
    Ok(book)
}

/// The rows of the balances, locked, and behind them the one of all else that is read under their locks.
async fn lock_and_read(tx: &WriteTransaction, users: String, wanted: [String; 3]) -> Result<Vec<QueryResult>, DbErr> {
    let engine = tx.get_database_backend();
    let [reservations, closing, keys] = wanted;
    if engine == DbBackend::Sqlite {
        // It has its lock for writers already. Two statements as one are one way to its thread and back less.
        let statements = [sql::LOCK, sql::READ].map(|statement| statement.of(engine)).join(";\n");
        let values = [users, reservations, closing, keys].map(sea_orm::Value::from);
        return tx.query_all_raw(Statement::from_sql_and_values(engine, statements, values)).await;
    }
    let mut rows = query(tx, sql::LOCK, [users]).await?;
    // In one statement of its own: only now do others' changes, which the lock has waited for, show.
    rows.extend(query(tx, sql::READ, [reservations, closing, keys]).await?);
    Ok(rows)
}

async fn read_originals(tx: &WriteTransaction, calls: &[&Call], book: &mut Book) -> Result<(), DbErr> {
    let wanted = calls
        .iter()
        .filter_map(|call| if let Call::Reverse { posting, .. } = call { Some(id(*posting)) } else { None });
    let wanted: Vec<String> = wanted.collect();
    if wanted.is_empty() {
        return Ok(());
    }
    for row in query(tx, sql::ORIGINALS, [text(&wanted)]).await? {
        let held = credits(&row, "held")?.checked_sub(credits(&row, "held_paid")?).unwrap_or(Credits::ZERO);
        let original = Original {
            user: row.try_get("", "user_id")?,
            kind: row.try_get("", "kind")?,
            created_at: row.try_get("", "created_at")?,
            gave: Parts { free: credits(&row, "free")?, paid: credits(&row, "paid")? },
            spent: credits(&row, "spent")?,
            held: Parts { free: held, paid: credits(&row, "held_paid")? },
            undone: read_undone(&row)?,
        };
        book.originals.insert(row.try_get("", "id")?, original);
    }
    Ok(())
}

fn read_undone(row: &QueryResult) -> Result<Option<Undone>, DbErr> {
    let Some(at) = row.try_get::<Option<i64>>("", "undone_at")? else { return Ok(None) };
    Ok(Some(Undone { at, reason: row.try_get("", "undone_reason")?, actor: row.try_get("", "undone_by")? }))
}

#[derive(Serialize)]
struct GivenAfter {
    user_id: String,
    since: i64,
}

async fn read_given(tx: &WriteTransaction, calls: &[&Call], book: &mut Book) -> Result<(), DbErr> {
    let wanted = calls.iter().filter_map(|call| {
        let Call::Lapse { user, before } = call else { return None };
        Some(GivenAfter { user_id: id(*user), since: *before })
    });
    let wanted: Vec<GivenAfter> = wanted.collect();
    if wanted.is_empty() {
        return Ok(());
    }
    for row in query(tx, sql::GIVEN_AFTER, [text(&wanted)]).await? {
        let about = (row.try_get("", "user_id")?, row.try_get("", "since")?);
        book.given_after.insert(about, credits(&row, "given")?);
    }
    Ok(())
}

fn code(call: &Call) -> Option<&Code> {
    if let Call::Redeem { code, .. } = call { Some(code) } else { None }
}

#[derive(Deserialize)]
struct ReservationRow {
    id: Uuid,
    user_id: Uuid,
    amount: i64,
    paid: i64,
    settled_amount: Option<i64>,
    state: String,
    expires_at: i64,
    created_at: i64,
    resolved_at: Option<i64>,
    balance_after: Option<i64>,
}

fn read_reservations(row: &QueryResult, book: &mut Book) -> Result<(), DbErr> {
    let rows: Vec<ReservationRow> = json(row, "reservations")?;
    for row in rows {
        let free = row.amount.checked_sub(row.paid).unwrap_or_default();
        let state = match row.state.as_str() {
            "settled" => State::Settled(Credits::from_units(row.settled_amount.unwrap_or(row.amount))),
            "released" => State::Released,
            _ => State::Held,
        };
        let reservation = Reservation {
            user: row.user_id,
            held: Parts { free: Credits::from_units(free), paid: Credits::from_units(row.paid) },
            state,
            expires_at: row.expires_at,
            created_at: row.created_at,
            resolved_at: row.resolved_at,
            balance_after: row.balance_after.map(Credits::from_units),
        };
        book.reservations.insert(row.id, reservation);
    }
    Ok(())
}

#[derive(Serialize, Deserialize)]
struct KeyRow {
    user_id: String,
    operation: String,
    key: String,
    request_hash: String,
    answer: Option<String>,
    created_at: i64,
}

impl KeyRow {
    fn wanted(key: KeyId) -> Self {
        let (user_id, operation) = (id(key.user), key.operation.to_owned());
        Self { user_id, operation, key: key.key, request_hash: String::new(), answer: None, created_at: 0 }
    }
}

fn read_keys(row: &QueryResult, book: &mut Book) -> Result<(), DbErr> {
    let rows: Vec<KeyRow> = json(row, "keys")?;
    for row in rows {
        let user = Uuid::parse_str(&row.user_id).map_err(|error| DbErr::Type(error.to_string()))?;
        let operation = if row.operation == "reserve" { "reserve" } else { "grant" };
        // A row without an answer cannot have been committed; read as text that is no answer it counts as another call's.
        let remembered = Remembered { request_hash: row.request_hash, answer: row.answer.unwrap_or_default() };
        book.keys.insert(KeyId { user, operation, key: row.key }, remembered);
    }
    Ok(())
}

async fn read_gifts(tx: &WriteTransaction, codes: &[&str], users: &[String], book: &mut Book) -> Result<(), DbErr> {
    let mut ids = HashMap::new();
    for row in query(tx, sql::LOCK_GIFTS, [text(&codes)]).await? {
        let code: String = row.try_get("", "code")?;
        let funds: String = row.try_get("", "funds")?;
        let gift = Gift {
            id: row.try_get("", "id")?,
            amount: credits(&row, "amount")?,
            funds: funds.parse::<Funds>().map_err(DbErr::Type)?,
            uses: row.try_get("", "uses")?,
            used: row.try_get("", "used")?,
            expires_at: row.try_get("", "expires_at")?,
            withdrawn_at: row.try_get("", "withdrawn_at")?,
            made_by: row.try_get("", "made_by")?,
        };
        ids.insert(gift.id, id(gift.id));
        book.gifts.insert(code.parse().map_err(|why: &str| DbErr::Type(why.to_owned()))?, gift);
    }
    let ids: Vec<&String> = ids.values().collect();
    for row in query(tx, sql::REDEEMED, [text(&ids), text(&users)]).await? {
        let whose = (row.try_get("", "code_id")?, row.try_get("", "user_id")?);
        book.redeemed.insert(whose, row.try_get("", "created_at")?);
    }
    Ok(())
}

#[derive(Serialize)]
struct Document<'a> {
    balances: Vec<BalanceRow>,
    reservations: Vec<ReservationOut<'a>>,
    resolved: Vec<ReservationOut<'a>>,
    keys: Vec<KeyRow>,
    postings: Vec<PostingRow<'a>>,
    entries: Vec<EntryRow<'a>>,
    redemptions: Vec<RedemptionRow>,
}

#[derive(Serialize)]
struct BalanceRow {
    user_id: String,
    available: i64,
    paid: i64,
    version: i64,
    last_posting: Option<String>,
    closed_at: Option<i64>,
}

#[derive(Serialize)]
struct ReservationOut<'a> {
    id: String,
    user_id: String,
    amount: i64,
    paid: i64,
    settled_amount: Option<i64>,
    state: &'a str,
    expires_at: i64,
    created_at: i64,
    resolved_at: Option<i64>,
    balance_after: Option<i64>,
}

#[derive(Serialize)]
struct PostingRow<'a> {
    id: String,
    user_id: String,
    kind: &'a str,
    reason: &'a str,
    reservation_id: Option<String>,
    actor: Option<&'a str>,
    reverses: Option<String>,
    balance_after: i64,
    created_at: i64,
}

#[derive(Serialize)]
struct EntryRow<'a> {
    posting_id: String,
    account: &'a str,
    user_id: String,
    amount: i64,
}

#[derive(Serialize)]
struct RedemptionRow {
    code_id: String,
    user_id: String,
    posting_id: String,
    created_at: i64,
}

/// What writes what has changed.
pub(super) fn writing(engine: DbBackend, book: &Book) -> Result<Vec<Statement>, DbErr> {
    let document = document(book)?;
    let text = text(&document);
    let statement = |sql: &str| Statement::from_sql_and_values(engine, sql, [text.as_str().into()]);
    if engine == DbBackend::Postgres {
        return Ok(vec![statement(sql::WRITE_POSTGRES)]);
    }
    let parts = [
        (document.balances.is_empty(), sql::WRITE_BALANCES_SQLITE),
        (document.reservations.is_empty(), sql::WRITE_RESERVATIONS_SQLITE),
        (document.resolved.is_empty(), sql::WRITE_RESOLVED_SQLITE),
        (document.keys.is_empty(), sql::WRITE_KEYS_SQLITE),
        (document.postings.is_empty(), sql::WRITE_POSTINGS_SQLITE),
        (document.entries.is_empty(), sql::WRITE_ENTRIES_SQLITE),
        (document.redemptions.is_empty(), sql::WRITE_USES_SQLITE),
        (document.redemptions.is_empty(), sql::WRITE_REDEMPTIONS_SQLITE),
    ];
    let needed = parts.into_iter().filter_map(|(empty, sql)| (!empty).then_some(sql));
    // One parameter for all of them, which go together: the first brings it.
    Ok(needed
        .enumerate()
        .map(|(n, sql)| if n == 0 { statement(sql) } else { Statement::from_string(engine, sql) })
        .collect())
}

fn document(book: &Book) -> Result<Document<'_>, DbErr> {
    let changes = &book.changes;
    let missing = || DbErr::Custom("a change names what is not in the book".to_owned());
    let balance = |user: &Uuid| -> Result<BalanceRow, DbErr> {
        let balance = book.balances.get(user).ok_or_else(missing)?;
        Ok(BalanceRow {
            user_id: id(*user),
            available: balance.parts.free.units(),
            paid: balance.parts.paid.units(),
            version: balance.version,
            last_posting: balance.last_posting.map(id),
            closed_at: balance.closed_at,
        })
    };
    let reservation = |key: &Uuid| book.reservations.get(key).map(|row| out(*key, row)).ok_or_else(missing);
    let key = |(key, created_at): &(KeyId, i64)| {
        let Remembered { request_hash, answer } = book.keys.get(key).cloned().ok_or_else(missing)?;
        let wanted = KeyRow::wanted(key.clone());
        Ok(KeyRow { request_hash, answer: Some(answer), created_at: *created_at, ..wanted })
    };
    let entries = changes.postings.iter().flat_map(|posting| {
        posting.entries.iter().map(|(account, amount)| EntryRow {
            posting_id: id(posting.id),
            account: account.as_str(),
            user_id: id(posting.user),
            amount: amount.units(),
        })
    });
    let postings = changes.postings.iter().map(|posting| PostingRow {
        id: id(posting.id),
        user_id: id(posting.user),
        kind: posting.kind,
        reason: &posting.reason,
        reservation_id: posting.reservation.map(id),
        actor: posting.actor.as_deref(),
        reverses: posting.reverses.map(id),
        balance_after: posting.balance_after.units(),
        created_at: posting.created_at,
    });
    let redemptions = changes.redemptions.iter().map(|redemption| RedemptionRow {
        code_id: id(redemption.code),
        user_id: id(redemption.user),
        posting_id: id(redemption.posting),
        created_at: redemption.created_at,
    });
    Ok(Document {
        balances: changes.balances.iter().map(balance).collect::<Result<_, _>>()?,
        reservations: changes.made.iter().map(reservation).collect::<Result<_, _>>()?,
        resolved: changes.resolved.difference(&changes.made).map(reservation).collect::<Result<_, _>>()?,
        keys: changes.keys.iter().map(key).collect::<Result<_, DbErr>>()?,
        postings: postings.collect(),
        entries: entries.collect(),
        redemptions: redemptions.collect(),
    })
}

fn out(key: Uuid, row: &Reservation) -> ReservationOut<'_> {
    let settled = if let State::Settled(spent) = row.state { Some(spent.units()) } else { None };
    ReservationOut {
        id: id(key),
        user_id: id(row.user),
        amount: row.held.total().map_or(i64::MAX, Credits::units),
        paid: row.held.paid.units(),
        settled_amount: settled,
        state: row.state.as_str(),
        expires_at: row.expires_at,
        created_at: row.created_at,
        resolved_at: row.resolved_at,
        balance_after: row.balance_after.map(Credits::units),
    }
}

/// An id as it is written into JSON.
fn id(id: Uuid) -> String {
    id.simple().to_string()
}

fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("rows are strings and numbers")
}

fn credits(row: &QueryResult, column: &str) -> Result<Credits, DbErr> {
    row.try_get("", column).map(Credits::from_units)
}

fn json<T: serde::de::DeserializeOwned>(row: &QueryResult, column: &str) -> Result<T, DbErr> {
    let text: String = row.try_get("", column)?;
    serde_json::from_str(&text).map_err(|error| DbErr::Type(format!("{column}: {error}")))
}

async fn query<const N: usize>(
    tx: &WriteTransaction,
    statement: sql::Both,
    values: [String; N],
) -> Result<Vec<QueryResult>, DbErr> {
    let engine = tx.get_database_backend();
    let values = values.map(sea_orm::Value::from);
    tx.query_all_raw(Statement::from_sql_and_values(engine, statement.of(engine), values)).await
}

/// Forgets a user's keys and what was answered to them.
pub(super) async fn forget_keys(database: &Database, user: Uuid) -> Result<(), DbErr> {
    let transaction = database.begin_write().await?;
    idempotency_key::Entity::delete_many().filter(idempotency_key::Column::UserId.eq(user)).exec(&*transaction).await?;
    transaction.commit().await
}
