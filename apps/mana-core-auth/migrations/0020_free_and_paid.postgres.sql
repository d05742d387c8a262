-- Credits that were given and credits that were paid for, apart. `available` (and the account 'user') is what is left of the free ones:
-- all there was before this step had been given.
ALTER TABLE balances ADD COLUMN paid BIGINT NOT NULL DEFAULT 0;

-- Of what is there already each is 0.
ALTER TABLE balances ADD CONSTRAINT paid_is_not_negative CHECK (paid >= 0) NOT VALID;

-- Rises by one with each posting, so that whoever keeps a copy of a balance can tell which of two is the newer.
ALTER TABLE balances ADD COLUMN version BIGINT NOT NULL DEFAULT 0;

-- The ids of a user's postings only rise, whatever the clock does: their order is the order of what happened.
ALTER TABLE balances ADD COLUMN last_posting UUID;

-- The account is closed: nothing is given or reserved any more.
ALTER TABLE balances ADD COLUMN closed_at BIGINT;

-- How much of it came from paid credits, so that what goes back goes back to where it came from.
ALTER TABLE reservations ADD COLUMN paid BIGINT NOT NULL DEFAULT 0;

-- What resolving it was answered with, for whoever asks again.
ALTER TABLE reservations ADD COLUMN balance_after BIGINT;

-- Who gave: 'admin UUID', 'operator', 'service'; NULL for what a user's own doings moved.
ALTER TABLE postings ADD COLUMN actor TEXT;
