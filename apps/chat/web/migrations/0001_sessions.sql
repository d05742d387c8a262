-- Who is signed in, on which browser. Both SQLite and PostgreSQL run this file. Times are milliseconds since 1970 UTC.

CREATE TABLE web_sessions (
    -- SHA-256 of the cookie's value, in hexadecimal; the value itself is nowhere stored
    id_hash TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    email TEXT NOT NULL,
    -- access and refresh token, sealed with SESSION_KEY and bound to this row
    tokens TEXT NOT NULL,
    access_expires_at BIGINT NOT NULL,
    -- counts exchanges of the tokens; whoever writes new ones must have seen this number
    generation BIGINT NOT NULL,
    -- until when one instance alone may exchange the tokens
    lease_until BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);

CREATE INDEX web_sessions_by_expiry ON web_sessions (expires_at);
