-- People, their sessions and refresh tokens. Times are milliseconds since 1970 UTC.

CREATE TABLE users (
    id UUID NOT NULL PRIMARY KEY,
    -- normalised: trimmed and in lower case
    email TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    -- 'user' or 'admin'
    role TEXT NOT NULL,
    -- PHC string: algorithm, parameters, salt, hash
    password_hash TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE sessions (
    id UUID NOT NULL PRIMARY KEY,
    user_id UUID NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    app_id TEXT NOT NULL,
    user_agent TEXT,
    created_at BIGINT NOT NULL,
    last_used_at BIGINT NOT NULL,
    -- signed out, revoked, or a used refresh token came again
    ended_at BIGINT
);

CREATE INDEX sessions_by_user ON sessions (user_id, ended_at);

CREATE TABLE refresh_tokens (
    -- SHA-256 of the token; the token itself is nowhere stored
    hash TEXT NOT NULL PRIMARY KEY,
    session_id UUID NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    issued_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    -- when it was exchanged for its successor
    used_at BIGINT
);

CREATE INDEX refresh_tokens_by_session ON refresh_tokens (session_id);
