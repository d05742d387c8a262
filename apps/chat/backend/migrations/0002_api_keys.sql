-- Keys for OpenAI's protocol. The key itself is shown once and never stored: its SHA-256 is enough to recognise it, and
-- since a key is 256 random bits there is nothing to guess.

CREATE TABLE api_keys (
    id UUID NOT NULL PRIMARY KEY,
    user_id UUID NOT NULL,
    name TEXT NOT NULL,
    -- its first characters, for telling keys apart
    prefix TEXT NOT NULL,
    hash TEXT NOT NULL UNIQUE,
    created_at BIGINT NOT NULL,
    last_used_at BIGINT,
    revoked_at BIGINT
);

CREATE INDEX api_keys_by_owner ON api_keys (user_id, id);
