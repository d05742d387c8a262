-- Conversations, what was said in them, and what the ledger is still to be told.
-- Both SQLite and PostgreSQL run this file. Ids are UUIDv7, so they sort by time; times are milliseconds since 1970 UTC.

CREATE TABLE conversations (
    id UUID NOT NULL PRIMARY KEY,
    user_id UUID NOT NULL,
    title TEXT NOT NULL,
    -- 'app' for the native API, 'api' for what came through /v1
    origin TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

CREATE INDEX conversations_by_owner ON conversations (user_id, origin, updated_at, id);

CREATE TABLE messages (
    id UUID NOT NULL PRIMARY KEY,
    conversation_id UUID NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
    role TEXT NOT NULL,
    content TEXT NOT NULL,
    -- of answers only: who gave it, how it ended, what it cost (in the ledger's smallest unit)
    model TEXT,
    finish TEXT,
    prompt_tokens BIGINT,
    completion_tokens BIGINT,
    price BIGINT,
    created_at BIGINT NOT NULL
);

CREATE INDEX messages_by_conversation ON messages (conversation_id, id);

-- One row for each thing the ledger has not acknowledged yet, written in the transaction that made it true.
CREATE TABLE outbox (
    -- the reservation it is about: each is resolved once
    reservation_id UUID NOT NULL PRIMARY KEY,
    user_id UUID NOT NULL,
    -- 'settle' or 'release'
    action TEXT NOT NULL,
    -- in the ledger's smallest unit
    amount BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    next_attempt_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE INDEX outbox_by_due ON outbox (next_attempt_at);
