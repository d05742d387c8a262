-- Calls that carry an Idempotency-Key, so that a call that comes again gets the same answer and is charged once.

CREATE TABLE idempotent_calls (
    user_id UUID NOT NULL,
    -- what was called: the same key elsewhere is another call
    operation TEXT NOT NULL,
    -- SHA-256 of the key
    key_hash TEXT NOT NULL,
    -- SHA-256 of the body: the same key with another body is a mistake
    body_hash TEXT NOT NULL,
    -- who works on it; whoever takes over writes another one here, and the first one's transaction then fails
    execution UUID NOT NULL,
    done BOOLEAN NOT NULL,
    -- who has not renewed it by then has died
    lease_until BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (user_id, operation, key_hash)
);

CREATE INDEX idempotent_calls_by_age ON idempotent_calls (created_at);
CREATE INDEX idempotent_calls_by_execution ON idempotent_calls (execution);

-- The answers to give again. They go with their conversations: what a person deletes is told to nobody.
CREATE TABLE idempotent_answers (
    execution UUID NOT NULL PRIMARY KEY,
    conversation_id UUID NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
    answer TEXT NOT NULL
);

CREATE INDEX idempotent_answers_by_conversation ON idempotent_answers (conversation_id);
