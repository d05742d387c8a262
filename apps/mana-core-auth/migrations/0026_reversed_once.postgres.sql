-- Beside those who write meanwhile.
CREATE UNIQUE INDEX CONCURRENTLY postings_reversed_once ON postings (reverses) WHERE reverses IS NOT NULL;
