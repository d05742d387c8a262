-- Sessions that have ended, for services that verify access tokens by themselves: kept until the last token of each has expired, also where the session's own row
-- is gone. Times are milliseconds since 1970 UTC.

CREATE TABLE ended_sessions (
    session_id UUID NOT NULL PRIMARY KEY,
    ended_at BIGINT NOT NULL
);

CREATE INDEX ended_sessions_by_time ON ended_sessions (ended_at);
