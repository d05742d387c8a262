-- Beside those who sign in meanwhile.
CREATE INDEX CONCURRENTLY sessions_by_use ON sessions (last_used_at);
