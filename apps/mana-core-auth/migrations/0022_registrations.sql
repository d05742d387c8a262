-- Accounts that somebody has asked for and nobody has confirmed yet. Each such request is a row here, whether or not its address has an account: which of
-- the two it is, only the letter says. Times are milliseconds since 1970 UTC.

CREATE TABLE registrations (
    id UUID NOT NULL PRIMARY KEY,
    email TEXT NOT NULL,
    name TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    -- the app that signs the person in
    app_id TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    -- of its letter, whose code is made of the id with the server's key
    sent_at BIGINT,
    attempts BIGINT NOT NULL,
    next_try_at BIGINT NOT NULL
);

CREATE INDEX registrations_to_send ON registrations (sent_at, next_try_at);
CREATE INDEX registrations_by_email ON registrations (email);
