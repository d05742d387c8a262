-- Punctuation is taken for space, so that words are the same on both stores; 100,000 characters stay below what a tsvector holds.
CREATE INDEX CONCURRENTLY messages_by_words ON messages
    USING gin (to_tsvector('simple', regexp_replace(left(content, 100000), '[!-/:-@[-`{-~]+', ' ', 'g')));
