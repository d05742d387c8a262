-- What a key may do at most; NULL is without a limit of its own. Credits are in the ledger's smallest unit.
ALTER TABLE api_keys ADD COLUMN requests_per_minute BIGINT;
ALTER TABLE api_keys ADD COLUMN credits_per_day BIGINT;

-- Credits held back or spent on one day (UTC, days since 1970) under a limit, of a person or of a key.
CREATE TABLE spending (
    subject UUID NOT NULL,
    day BIGINT NOT NULL,
    amount BIGINT NOT NULL,
    PRIMARY KEY (subject, day)
);

CREATE INDEX spending_by_day ON spending (day);
