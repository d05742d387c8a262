-- How an account stands. Times are milliseconds since 1970 UTC.

ALTER TABLE users ADD COLUMN email_verified_at BIGINT;

-- an operator has closed it; nobody gets in, nothing is lost
ALTER TABLE users ADD COLUMN disabled_at BIGINT;

-- its owner has deleted it; the row is emptied and stays, since the ledger's entries stay
ALTER TABLE users ADD COLUMN deleted_at BIGINT;
