-- Credits: a double-entry ledger in thousandths of a credit.
-- Every posting's entries sum to zero. Accounts are, per user: 'user' (what can be spent), 'held' (reserved), 'spent', 'granted'.

CREATE TABLE balances (
    user_id UUID NOT NULL PRIMARY KEY REFERENCES users (id),
    -- the fold of the user's 'user' entries, kept beside them so that one conditional statement can decide
    available BIGINT NOT NULL CHECK (available >= 0)
);

CREATE TABLE postings (
    id UUID NOT NULL PRIMARY KEY,
    user_id UUID NOT NULL REFERENCES users (id),
    -- 'grant', 'reserve', 'settle', 'release'
    kind TEXT NOT NULL,
    reason TEXT NOT NULL,
    reservation_id UUID,
    -- what could be spent after it
    balance_after BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE INDEX postings_by_user ON postings (user_id, id);

CREATE TABLE entries (
    posting_id UUID NOT NULL REFERENCES postings (id),
    account TEXT NOT NULL,
    user_id UUID NOT NULL,
    amount BIGINT NOT NULL CHECK (amount <> 0),
    PRIMARY KEY (posting_id, account)
);

CREATE INDEX entries_by_user ON entries (user_id, account);

CREATE TABLE reservations (
    id UUID NOT NULL PRIMARY KEY,
    user_id UUID NOT NULL REFERENCES users (id),
    amount BIGINT NOT NULL CHECK (amount > 0),
    settled_amount BIGINT,
    -- 'held', 'settled', 'released'
    state TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    resolved_at BIGINT
);

CREATE INDEX reservations_by_state ON reservations (state, expires_at);

-- What was answered to a call with a key; a user's key means one thing per operation.
CREATE TABLE idempotency_keys (
    user_id UUID NOT NULL REFERENCES users (id),
    operation TEXT NOT NULL,
    key TEXT NOT NULL,
    -- SHA-256 of what was asked
    request_hash TEXT NOT NULL,
    answer TEXT,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (user_id, operation, key)
);
