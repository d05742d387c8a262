-- What gives free credits, by when it did: how much of a balance is old. Beside those who write meanwhile.
CREATE INDEX CONCURRENTLY postings_that_give ON postings (user_id, created_at) WHERE kind IN ('grant', 'gift', 'reverse');
