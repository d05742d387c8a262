CREATE INDEX web_sessions_by_person ON web_sessions (user_id);
