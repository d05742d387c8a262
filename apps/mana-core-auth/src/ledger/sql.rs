//! The ledger's statements, for either engine. Lists of rows come in as one parameter of JSON; ids are written there in
//! hexadecimal.

use sea_orm::DbBackend;

/// A statement in two dialects.
#[derive(Debug, Clone, Copy)]
pub(super) struct Both {
    postgres: &'static str,
    sqlite: &'static str,
}

impl Both {
    pub(super) fn of(self, engine: DbBackend) -> &'static str {
        if engine == DbBackend::Sqlite { self.sqlite } else { self.postgres }
    }
}

/// The balances of `$1`, locked in the order of their ids, and whether their accounts are disabled.
pub(super) const LOCK: Both = Both {
    postgres: "SELECT user_id, available, paid, version, last_posting, closed_at,
        (SELECT disabled_at FROM users WHERE users.id = balances.user_id) AS disabled_at FROM balances
        WHERE user_id IN (SELECT CAST(value AS uuid) FROM json_array_elements_text(CAST($1 AS json)))
        ORDER BY user_id FOR UPDATE",
    sqlite: "SELECT user_id, available, paid, version, last_posting, closed_at,
        (SELECT disabled_at FROM users WHERE users.id = balances.user_id) AS disabled_at FROM balances
        WHERE user_id IN (SELECT unhex(value) FROM json_each(?1))",
};

/// The reservations of `$1`, those that users of `$2` hold, and the keys of `$3`: one row. On SQLite, where it is run as one with
/// [`LOCK`], whose parameter comes before, each is one further on.
pub(super) const READ: Both = Both {
    postgres: "SELECT
        CAST(COALESCE((SELECT json_agg(json_build_object('id', r.id, 'user_id', r.user_id, 'amount', r.amount, 'paid', r.paid,
            'settled_amount', r.settled_amount, 'state', r.state, 'expires_at', r.expires_at, 'created_at', r.created_at,
            'resolved_at', r.resolved_at, 'balance_after', r.balance_after)) FROM (
            SELECT * FROM reservations WHERE id IN (SELECT CAST(value AS uuid) FROM json_array_elements_text(CAST($1 AS json)))
            UNION
            SELECT * FROM reservations WHERE state = 'held'
                AND user_id IN (SELECT CAST(value AS uuid) FROM json_array_elements_text(CAST($2 AS json)))) r), '[]') AS text) AS reservations,
        CAST(COALESCE((SELECT json_agg(json_build_object('user_id', k.user_id, 'operation', k.operation, 'key', k.key,
            'request_hash', k.request_hash, 'answer', k.answer, 'created_at', k.created_at))
            FROM json_to_recordset(CAST($3 AS json)) AS w(user_id uuid, operation text, key text)
            JOIN idempotency_keys k ON k.user_id = w.user_id AND k.operation = w.operation AND k.key = w.key), '[]') AS text) AS keys",
    sqlite: "SELECT
        (SELECT json_group_array(json_object('id', hex(r.id), 'user_id', hex(r.user_id), 'amount', r.amount, 'paid', r.paid,
            'settled_amount', r.settled_amount, 'state', r.state, 'expires_at', r.expires_at, 'created_at', r.created_at,
            'resolved_at', r.resolved_at, 'balance_after', r.balance_after)) FROM (
            SELECT * FROM reservations WHERE id IN (SELECT unhex(value) FROM json_each(?2))
            UNION
            SELECT * FROM reservations WHERE state = 'held' AND user_id IN (SELECT unhex(value) FROM json_each(?3))) r) AS reservations,
        (SELECT json_group_array(json_object('user_id', hex(k.user_id), 'operation', k.operation, 'key', k.key,
            'request_hash', k.request_hash, 'answer', k.answer, 'created_at', k.created_at))
            FROM json_each(?4) w JOIN idempotency_keys k ON k.user_id = unhex(w.value ->> 'user_id')
            AND k.operation = w.value ->> 'operation' AND k.key = w.value ->> 'key') AS keys",
};

/// The gift codes of `$1`, locked after the balances, in the order of their ids.
pub(super) const LOCK_GIFTS: Both = Both {
    postgres: "SELECT id, code, amount, funds, uses, used, expires_at, withdrawn_at, made_by FROM gift_codes
        WHERE code IN (SELECT value FROM json_array_elements_text(CAST($1 AS json))) ORDER BY id FOR UPDATE",
    sqlite: "SELECT id, code, amount, funds, uses, used, expires_at, withdrawn_at, made_by FROM gift_codes
        WHERE code IN (SELECT value FROM json_each(?1))",
};

/// Who of `$2` has redeemed which of `$1`, and when.
pub(super) const REDEEMED: Both = Both {
    postgres: "SELECT code_id, user_id, created_at FROM gift_redemptions
        WHERE code_id IN (SELECT CAST(value AS uuid) FROM json_array_elements_text(CAST($1 AS json)))
        AND user_id IN (SELECT CAST(value AS uuid) FROM json_array_elements_text(CAST($2 AS json)))",
    sqlite: "SELECT code_id, user_id, created_at FROM gift_redemptions
        WHERE code_id IN (SELECT unhex(value) FROM json_each(?1)) AND user_id IN (SELECT unhex(value) FROM json_each(?2))",
};

/// Free credits that a user was given after a time, less those that were taken back since: grants and gifts that still stand, and what was given back of what they spent.
macro_rules! given_after {
    ($user:literal, $after:literal) => {
        concat!(
            "CAST(COALESCE((SELECT SUM(e.amount) FROM postings p JOIN entries e ON e.posting_id = p.id AND e.account = 'user'
            WHERE p.kind IN ('grant', 'gift', 'reverse') AND p.user_id = ",
            $user,
            " AND p.created_at > ",
            $after,
            " AND e.amount > 0 AND NOT EXISTS (SELECT 1 FROM postings r WHERE r.reverses = p.id)), 0) AS BIGINT)"
        )
    };
}

/// [`given_after`] for each of `$1`.
pub(super) const GIVEN_AFTER: Both = Both {
    postgres: concat!(
        "SELECT w.user_id, w.since, ",
        given_after!("w.user_id", "w.since"),
        " AS given FROM json_to_recordset(CAST($1 AS json)) AS w(user_id uuid, since bigint)"
    ),
    sqlite: concat!(
        "SELECT unhex(w.value ->> 'user_id') AS user_id, w.value ->> 'since' AS since, ",
        given_after!("unhex(w.value ->> 'user_id')", "w.value ->> 'since'"),
        " AS given FROM json_each(?1) w"
    ),
};

/// Users whose free credits may be older than `$1`, after the id `$2`, in the order of their ids, `$3` at most.
pub(super) const LAPSING: Both = Both {
    postgres: concat!(
        "SELECT user_id FROM balances WHERE available > 0 AND closed_at IS NULL AND user_id > $2 AND available > ",
        given_after!("balances.user_id", "$1"),
        " ORDER BY user_id LIMIT $3"
    ),
    sqlite: concat!(
        "SELECT user_id FROM balances WHERE available > 0 AND closed_at IS NULL AND user_id > ?2 AND available > ",
        given_after!("balances.user_id", "?1"),
        " ORDER BY user_id LIMIT ?3"
    ),
};

macro_rules! originals {
    () => {
        "SELECT p.id, p.user_id, p.kind, p.created_at,
        CAST(COALESCE((SELECT SUM(e.amount) FROM entries e WHERE e.posting_id = p.id AND e.account = 'user'), 0) AS BIGINT) AS free,
        CAST(COALESCE((SELECT SUM(e.amount) FROM entries e WHERE e.posting_id = p.id AND e.account = 'paid'), 0) AS BIGINT) AS paid,
        CAST(COALESCE((SELECT SUM(e.amount) FROM entries e WHERE e.posting_id = p.id AND e.account = 'spent'), 0) AS BIGINT) AS spent,
        COALESCE(r.amount, 0) AS held, COALESCE(r.paid, 0) AS held_paid,
        o.created_at AS undone_at, o.reason AS undone_reason, o.actor AS undone_by
        FROM postings p LEFT JOIN reservations r ON r.id = p.reservation_id LEFT JOIN postings o ON o.reverses = p.id"
    };
}

/// The postings of `$1`, with what undoing them takes.
pub(super) const ORIGINALS: Both = Both {
    postgres: concat!(
        originals!(),
        " WHERE p.id IN (SELECT CAST(value AS uuid) FROM json_array_elements_text(CAST($1 AS json)))"
    ),
    sqlite: concat!(originals!(), " WHERE p.id IN (SELECT unhex(value) FROM json_each(?1))"),
};

/// All that a batch changes, in one statement.
pub(super) const WRITE_POSTGRES: &str = "WITH document AS (SELECT CAST($1 AS json) AS d),
    b AS (UPDATE balances SET available = n.available, paid = n.paid, version = n.version, last_posting = n.last_posting,
            closed_at = n.closed_at
        FROM document, json_to_recordset(d -> 'balances')
            AS n(user_id uuid, available bigint, paid bigint, version bigint, last_posting uuid, closed_at bigint)
        WHERE balances.user_id = n.user_id),
    made AS (INSERT INTO reservations (id, user_id, amount, paid, settled_amount, state, expires_at, created_at, resolved_at, balance_after)
        SELECT n.* FROM document, json_to_recordset(d -> 'reservations') AS n(id uuid, user_id uuid, amount bigint, paid bigint,
            settled_amount bigint, state text, expires_at bigint, created_at bigint, resolved_at bigint, balance_after bigint)),
    resolved AS (UPDATE reservations SET settled_amount = n.settled_amount, state = n.state, resolved_at = n.resolved_at,
            balance_after = n.balance_after
        FROM document, json_to_recordset(d -> 'resolved')
            AS n(id uuid, settled_amount bigint, state text, resolved_at bigint, balance_after bigint)
        WHERE reservations.id = n.id),
    keys AS (INSERT INTO idempotency_keys (user_id, operation, key, request_hash, answer, created_at)
        SELECT n.* FROM document, json_to_recordset(d -> 'keys')
            AS n(user_id uuid, operation text, key text, request_hash text, answer text, created_at bigint)),
    posted AS (INSERT INTO postings (id, user_id, kind, reason, reservation_id, actor, reverses, balance_after, created_at)
        SELECT n.* FROM document, json_to_recordset(d -> 'postings') AS n(id uuid, user_id uuid, kind text, reason text,
            reservation_id uuid, actor text, reverses uuid, balance_after bigint, created_at bigint)),
    entered AS (INSERT INTO entries (posting_id, account, user_id, amount)
        SELECT n.* FROM document, json_to_recordset(d -> 'entries') AS n(posting_id uuid, account text, user_id uuid, amount bigint)),
    used AS (UPDATE gift_codes SET used = used + n.times
        FROM (SELECT code_id, COUNT(*) AS times FROM document, json_to_recordset(d -> 'redemptions') AS r(code_id uuid) GROUP BY code_id) n
        WHERE gift_codes.id = n.code_id)
    INSERT INTO gift_redemptions (code_id, user_id, posting_id, created_at)
        SELECT n.* FROM document, json_to_recordset(d -> 'redemptions')
            AS n(code_id uuid, user_id uuid, posting_id uuid, created_at bigint)";

pub(super) const WRITE_BALANCES_SQLITE: &str = "UPDATE balances SET available = n.value ->> 'available', paid = n.value ->> 'paid',
    version = n.value ->> 'version', last_posting = unhex(n.value ->> 'last_posting'), closed_at = n.value ->> 'closed_at'
    FROM json_each(?1, '$.balances') AS n WHERE balances.user_id = unhex(n.value ->> 'user_id')";

pub(super) const WRITE_RESERVATIONS_SQLITE: &str = "INSERT INTO reservations
    (id, user_id, amount, paid, settled_amount, state, expires_at, created_at, resolved_at, balance_after)
    SELECT unhex(value ->> 'id'), unhex(value ->> 'user_id'), value ->> 'amount', value ->> 'paid', value ->> 'settled_amount',
    value ->> 'state', value ->> 'expires_at', value ->> 'created_at', value ->> 'resolved_at', value ->> 'balance_after'
    FROM json_each(?1, '$.reservations')";

pub(super) const WRITE_RESOLVED_SQLITE: &str = "UPDATE reservations SET settled_amount = n.value ->> 'settled_amount',
    state = n.value ->> 'state', resolved_at = n.value ->> 'resolved_at', balance_after = n.value ->> 'balance_after'
    FROM json_each(?1, '$.resolved') AS n WHERE reservations.id = unhex(n.value ->> 'id')";

pub(super) const WRITE_KEYS_SQLITE: &str = "INSERT INTO idempotency_keys (user_id, operation, key, request_hash, answer, created_at)
    SELECT unhex(value ->> 'user_id'), value ->> 'operation', value ->> 'key', value ->> 'request_hash', value ->> 'answer',
    value ->> 'created_at' FROM json_each(?1, '$.keys')";

pub(super) const WRITE_POSTINGS_SQLITE: &str = "INSERT INTO postings
    (id, user_id, kind, reason, reservation_id, actor, reverses, balance_after, created_at)
    SELECT unhex(value ->> 'id'), unhex(value ->> 'user_id'), value ->> 'kind', value ->> 'reason',
    unhex(value ->> 'reservation_id'), value ->> 'actor', unhex(value ->> 'reverses'), value ->> 'balance_after', value ->> 'created_at'
    FROM json_each(?1, '$.postings')";

pub(super) const WRITE_ENTRIES_SQLITE: &str = "INSERT INTO entries (posting_id, account, user_id, amount)
    SELECT unhex(value ->> 'posting_id'), value ->> 'account', unhex(value ->> 'user_id'), value ->> 'amount'
    FROM json_each(?1, '$.entries')";

pub(super) const WRITE_USES_SQLITE: &str = "UPDATE gift_codes SET used = used + n.times
    FROM (SELECT unhex(value ->> 'code_id') AS code_id, COUNT(*) AS times FROM json_each(?1, '$.redemptions') GROUP BY 1) AS n
    WHERE gift_codes.id = n.code_id";

pub(super) const WRITE_REDEMPTIONS_SQLITE: &str =
    "INSERT INTO gift_redemptions (code_id, user_id, posting_id, created_at)
    SELECT unhex(value ->> 'code_id'), unhex(value ->> 'user_id'), unhex(value ->> 'posting_id'), value ->> 'created_at'
    FROM json_each(?1, '$.redemptions')";
