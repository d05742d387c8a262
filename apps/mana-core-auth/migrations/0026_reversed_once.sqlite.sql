CREATE UNIQUE INDEX postings_reversed_once ON postings (reverses) WHERE reverses IS NOT NULL;
