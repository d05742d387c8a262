-- Beside those who write meanwhile.
CREATE INDEX CONCURRENTLY messages_by_parent ON messages (conversation_id, parent_id, id);
