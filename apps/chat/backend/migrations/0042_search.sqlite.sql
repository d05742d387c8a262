-- FTS5 gives each text a number; a message has none that stays, so it is kept which is whose.
-- The triggers run within what an older version writes while this one starts: what they write to refuses nothing.
CREATE VIRTUAL TABLE messages_by_words USING fts5 (
    content, message_id UNINDEXED, tokenize = 'unicode61 remove_diacritics 2'
);
CREATE TABLE searched (message_id UUID, n INTEGER);
CREATE INDEX searched_by_message ON searched (message_id);
-- What is deleted leaves no word behind in the index.
INSERT INTO messages_by_words (messages_by_words, rank) VALUES ('secure-delete', 1);

CREATE TRIGGER messages_are_searched AFTER INSERT ON messages BEGIN
    INSERT INTO messages_by_words (content, message_id) VALUES (NEW.content, NEW.id);
    INSERT INTO searched (message_id, n) VALUES (NEW.id, last_insert_rowid());
END;
CREATE TRIGGER messages_are_forgotten AFTER DELETE ON messages BEGIN
    DELETE FROM messages_by_words WHERE rowid IN (SELECT n FROM searched WHERE message_id = OLD.id);
    DELETE FROM searched WHERE message_id = OLD.id;
END;

INSERT INTO messages_by_words (content, message_id) SELECT content, id FROM messages;
INSERT INTO searched (message_id, n) SELECT message_id, rowid FROM messages_by_words;
