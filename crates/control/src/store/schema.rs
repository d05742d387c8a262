//! The schema, as the steps that make it. `user_version` counts the steps a file has seen.

use rusqlite::{Connection, TransactionBehavior};

use super::{StoreError, sqlite};

pub(super) const STEPS: &[&str] = &[
    "
    -- What was applied last; one row at most.
    CREATE TABLE applied (
        only INTEGER PRIMARY KEY CHECK (only = 1),
        request TEXT NOT NULL,      -- api::Apply as JSON
        manifest TEXT NOT NULL,     -- the file as it was then
        at TEXT NOT NULL
    ) STRICT;

    -- What every service should run.
    CREATE TABLE services (
        name TEXT PRIMARY KEY,
        spec TEXT NOT NULL,         -- digest of everything that makes a new instance necessary
        revision INTEGER NOT NULL,  -- grows with every restart by a person
        migrated TEXT,              -- the spec whose migration succeeded last
        running INTEGER NOT NULL    -- desired on or off
    ) STRICT;

    -- Instances that run or are about to: the row is written before the process is started.
    CREATE TABLE instances (
        id TEXT PRIMARY KEY,
        service TEXT NOT NULL,
        ordinal INTEGER NOT NULL,
        spec TEXT NOT NULL,
        revision INTEGER NOT NULL,
        migration INTEGER NOT NULL,
        port INTEGER,
        facts TEXT NOT NULL,        -- desired::Facts as JSON
        restarts INTEGER NOT NULL,
        last_exit TEXT,
        started_at TEXT NOT NULL,
        pid INTEGER,                -- these three: once it runs
        start_time_ticks INTEGER,
        boot_id TEXT
    ) STRICT;

    CREATE TABLE exits (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        instance TEXT NOT NULL,
        service TEXT NOT NULL,
        started_at TEXT NOT NULL,
        ended_at TEXT NOT NULL,
        reason TEXT NOT NULL,
        wanted INTEGER NOT NULL
    ) STRICT;

    CREATE TABLE journal (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        at TEXT NOT NULL,
        service TEXT,
        instance TEXT,
        kind TEXT NOT NULL,
        detail TEXT NOT NULL
    ) STRICT;
",
    "
    -- A service has two slots; what was there so far is blue.
    ALTER TABLE instances ADD COLUMN slot TEXT NOT NULL DEFAULT 'blue';

    -- What every slot should run, and its share of the service's new requests.
    CREATE TABLE slots (
        service TEXT NOT NULL,
        slot TEXT NOT NULL CHECK (slot IN ('blue', 'green')),
        spec TEXT NOT NULL,
        revision INTEGER NOT NULL,
        migrated TEXT,
        weight INTEGER NOT NULL CHECK (weight BETWEEN 0 AND 100),
        PRIMARY KEY (service, slot)
    ) STRICT;
    INSERT INTO slots SELECT name, 'blue', spec, revision, migrated, 100 FROM services;
    ALTER TABLE services DROP COLUMN spec;
    ALTER TABLE services DROP COLUMN revision;
    ALTER TABLE services DROP COLUMN migrated;
",
    "
    -- The release that a slot runs, as JSON; absent: the manifest's folder itself.
    ALTER TABLE slots ADD COLUMN release TEXT;

    CREATE TABLE rollouts (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        service TEXT NOT NULL,
        plan TEXT NOT NULL,         -- rollout::Plan as JSON
        green TEXT NOT NULL CHECK (green IN ('blue', 'green')),
        begun_at TEXT NOT NULL,
        ended TEXT,                 -- how; absent: it has not
        state TEXT                  -- rollout::State as JSON, once it has ended
    ) STRICT;
    CREATE INDEX rollouts_of_a_service ON rollouts (service, number);

    -- What happened to a rollout, and what followed from it: written before it is carried out.
    CREATE TABLE rollout_journal (
        rollout INTEGER NOT NULL REFERENCES rollouts (number) ON DELETE CASCADE,
        number INTEGER NOT NULL,
        at TEXT NOT NULL,
        event TEXT NOT NULL,        -- rollout::Event as JSON
        effects TEXT NOT NULL,      -- a list of rollout::Intent as JSON
        PRIMARY KEY (rollout, number)
    ) STRICT;

    -- Whose turn it is at a service.
    CREATE TABLE lanes (
        service TEXT PRIMARY KEY,
        lane TEXT NOT NULL          -- rollout::lane::Lane as JSON
    ) STRICT;
",
    "
    -- Whoever asks again with the same key means the same rollout.
    ALTER TABLE rollouts ADD COLUMN key TEXT;
    CREATE UNIQUE INDEX rollouts_by_key ON rollouts (key) WHERE key IS NOT NULL;
",
    "
    -- Who may come in at the operators' door.
    CREATE TABLE tokens (
        name TEXT PRIMARY KEY,
        sha256 TEXT NOT NULL UNIQUE,
        scopes TEXT NOT NULL,       -- names with a blank between
        made_at TEXT NOT NULL,
        expires_at TEXT
    ) STRICT;
",
    "
    -- What people are told, once for each channel; some of what was told is remembered, so that it is not told again.
    CREATE TABLE outbox (
        channel TEXT NOT NULL,
        key TEXT NOT NULL,
        delivery TEXT NOT NULL,     -- outbox::Delivery as JSON
        PRIMARY KEY (channel, key)
    ) STRICT;
",
    "
    -- The folder that a slot's files come from, where it is no program.
    ALTER TABLE slots ADD COLUMN folder TEXT;

    -- Versions of the edge that were taken.
    CREATE TABLE edge_programs (
        spec TEXT PRIMARY KEY,
        taken_at TEXT NOT NULL,
        refused TEXT                -- why it was gone back on
    ) STRICT;
",
    "
    -- People who log in at the operators' door. Nobody is removed: a name in the record stays one person's.
    CREATE TABLE operators (
        name TEXT PRIMARY KEY,
        role TEXT NOT NULL CHECK (role IN ('viewer', 'operator', 'approver', 'admin')),
        password TEXT,              -- argon2id; absent: the invitation was not taken up
        disabled INTEGER NOT NULL DEFAULT 0,
        totp TEXT,                  -- the second factor's secret in base 32; absent: there is none
        totp_step INTEGER NOT NULL DEFAULT 0,   -- codes of this step and before were used
        made_at TEXT NOT NULL
    ) STRICT;

    -- Instead of a second factor that was lost; each once.
    CREATE TABLE recovery_codes (
        sha256 TEXT PRIMARY KEY,
        operator TEXT NOT NULL REFERENCES operators (name)
    ) STRICT;

    -- Links by which somebody sets a password; each once. Times are seconds since 1970.
    CREATE TABLE invitations (
        operator TEXT PRIMARY KEY REFERENCES operators (name),
        sha256 TEXT NOT NULL UNIQUE,
        expires_at INTEGER NOT NULL
    ) STRICT;

    CREATE TABLE sessions (
        sha256 TEXT PRIMARY KEY,
        operator TEXT NOT NULL REFERENCES operators (name),
        made_at INTEGER NOT NULL,
        seen_at INTEGER NOT NULL,
        expires_at INTEGER NOT NULL,
        address TEXT NOT NULL,
        agent TEXT NOT NULL
    ) STRICT;
    CREATE INDEX sessions_of_an_operator ON sessions (operator);

    -- What people changed. Each row holds the SHA-256 of the row before it and of its own content.
    CREATE TABLE audit (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        at TEXT NOT NULL,
        who TEXT NOT NULL,
        source TEXT NOT NULL,
        what TEXT NOT NULL,
        target TEXT NOT NULL,
        outcome TEXT NOT NULL,
        sha256 TEXT NOT NULL
    ) STRICT;
    CREATE INDEX audit_of_a_person ON audit (who, what, source);
    CREATE TRIGGER audit_only_grows BEFORE INSERT ON audit WHEN NEW.number <= (SELECT max(number) FROM audit)
        BEGIN SELECT RAISE(ABORT, 'the audit log is only added to'); END;
    CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit
        BEGIN SELECT RAISE(ABORT, 'the audit log is only added to'); END;
    CREATE TRIGGER audit_is_not_shortened BEFORE DELETE ON audit
        BEGIN SELECT RAISE(ABORT, 'the audit log is only added to'); END;
",
    "
    -- Keys on operators' devices, each a way in of its own.
    CREATE TABLE passkeys (
        id TEXT PRIMARY KEY,        -- as the browser says it, in base64url
        operator TEXT NOT NULL REFERENCES operators (name),
        name TEXT NOT NULL,
        algorithm INTEGER NOT NULL, -- COSE's number
        public_key TEXT NOT NULL,   -- SubjectPublicKeyInfo in base64url
        sign_count INTEGER NOT NULL,
        made_at INTEGER NOT NULL,
        used_at INTEGER
    ) STRICT;
    CREATE INDEX passkeys_of_an_operator ON passkeys (operator);
    -- From here on `operators.totp` is sealed with a key of the data folder; those before are, too, when a control plane begins.
",
    "
    -- Keys under which something was asked for that began no rollout (those that did are in `rollouts`), with the rollout of the answer.
    CREATE TABLE asked (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        key TEXT NOT NULL UNIQUE,
        rollout INTEGER NOT NULL REFERENCES rollouts (number) ON DELETE CASCADE
    ) STRICT;
    CREATE INDEX asked_of_a_rollout ON asked (rollout);
",
    "
    -- When a token last let somebody in, to the minute or so, in seconds since 1970; absent: not since this was written down.
    ALTER TABLE tokens ADD COLUMN used_at INTEGER;
",
];

pub(super) fn bring_up_to_date(db: &mut Connection) -> Result<(), StoreError> {
    let what = "bringing its schema up to date";
    let found: u32 = db.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(sqlite(what))?;
    let found = found as usize;
    if found > STEPS.len() {
        return Err(StoreError::Newer { found, known: STEPS.len() });
    }
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(sqlite(what))?;
    for step in &STEPS[found..] {
        transaction.execute_batch(step).map_err(sqlite(what))?;
    }
    transaction
        .pragma_update(None, "user_version", u32::try_from(STEPS.len()).unwrap_or(u32::MAX))
        .map_err(sqlite(what))?;
    transaction.commit().map_err(sqlite(what))
}
