-- What is to be sent by e-mail, and what came of it. The code in a letter is made of its id with the server's key, so it is
-- neither here nor anywhere else. Times are milliseconds since 1970 UTC.

CREATE TABLE letters (
    id UUID NOT NULL PRIMARY KEY,
    user_id UUID NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    -- 'verify', 'reset'
    kind TEXT NOT NULL,
    -- where it goes; a code counts only while the account has this address
    email TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at BIGINT,
    sent_at BIGINT,
    attempts BIGINT NOT NULL,
    next_try_at BIGINT NOT NULL
);

CREATE INDEX letters_to_send ON letters (sent_at, next_try_at);
CREATE INDEX letters_by_user ON letters (user_id);
