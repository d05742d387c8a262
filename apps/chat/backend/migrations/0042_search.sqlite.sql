-- FTS5 wants a number for each row; messages have none that stays.
CREATE TABLE searched (
    n INTEGER NOT NULL PRIMARY KEY,
    message_id UUID NOT NULL UNIQUE
);
CREATE VIEW searched_text AS
    SELECT searched.n AS n, messages.content AS content FROM searched JOIN messages ON messages.id = searched.message_id;

CREATE VIRTUAL TABLE messages_by_words USING fts5 (
    content, content = 'searched_text', content_rowid = 'n', tokenize = 'unicode61 remove_diacritics 2'
);
-- What is deleted leaves no word behind in the index.
INSERT INTO messages_by_words (messages_by_words, rank) VALUES ('secure-delete', 1);

INSERT INTO searched (message_id) SELECT id FROM messages;
INSERT INTO messages_by_words (rowid, content) SELECT n, content FROM searched_text;

CREATE TRIGGER messages_are_searched AFTER INSERT ON messages BEGIN
    INSERT INTO searched (message_id) VALUES (NEW.id);
    INSERT INTO messages_by_words (rowid, content) SELECT n, NEW.content FROM searched WHERE message_id = NEW.id;
END;
CREATE TRIGGER messages_are_forgotten AFTER DELETE ON messages BEGIN
    INSERT INTO messages_by_words (messages_by_words, rowid, content)
        SELECT 'delete', n, OLD.content FROM searched WHERE message_id = OLD.id;
    DELETE FROM searched WHERE message_id = OLD.id;
END;
