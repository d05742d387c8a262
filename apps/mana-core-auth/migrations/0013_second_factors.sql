-- Codes of an app, and codes for when the app is lost. Times are milliseconds since 1970 UTC.

CREATE TABLE second_factors (
    user_id UUID NOT NULL PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    -- sealed with a key made of the server's seed
    secret TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    -- asked for from then on
    confirmed_at BIGINT,
    -- the time step of the last code that was taken; each is taken once
    last_step BIGINT NOT NULL
);

CREATE TABLE recovery_codes (
    user_id UUID NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    -- SHA-256 of the code
    hash TEXT NOT NULL,
    used_at BIGINT,
    PRIMARY KEY (user_id, hash)
);
