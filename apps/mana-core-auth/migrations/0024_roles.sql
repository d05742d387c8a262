-- What an account may do beside its one role ('user' or 'admin'): names, separated by blanks.
ALTER TABLE users ADD COLUMN roles TEXT NOT NULL DEFAULT '';
