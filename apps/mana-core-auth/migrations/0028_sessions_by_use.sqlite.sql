CREATE INDEX sessions_by_use ON sessions (last_used_at);
