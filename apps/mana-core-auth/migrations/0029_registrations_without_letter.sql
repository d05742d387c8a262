-- Set where no letter of its own has gone, since its address had been sent enough: who asked, as an HMAC. The code of another letter to the address, which is
-- still good, confirms it with its own password, from where it was asked for.
ALTER TABLE registrations ADD COLUMN asked_from TEXT;
