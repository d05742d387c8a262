-- Beside those who sign in meanwhile.
CREATE INDEX CONCURRENTLY web_sessions_by_person ON web_sessions (user_id);
