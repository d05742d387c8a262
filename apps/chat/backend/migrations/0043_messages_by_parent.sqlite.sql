CREATE INDEX messages_by_parent ON messages (conversation_id, parent_id, id);
