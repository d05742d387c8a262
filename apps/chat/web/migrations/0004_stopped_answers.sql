-- Answers that their readers want stopped, where the instance that was told so does not write them: whoever does looks here.
-- Times are milliseconds since 1970 UTC.

CREATE TABLE stopped_answers (
    -- SHA-256 of the browser's session and the key of the question, in hexadecimal
    who_hash TEXT NOT NULL PRIMARY KEY,
    stopped_at BIGINT NOT NULL
);

CREATE INDEX stopped_answers_by_time ON stopped_answers (stopped_at);
