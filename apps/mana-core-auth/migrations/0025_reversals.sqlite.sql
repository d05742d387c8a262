-- The posting that this one undoes.
ALTER TABLE postings ADD COLUMN reverses UUID;
CREATE TRIGGER postings_are_reversed_once BEFORE INSERT ON postings
WHEN NEW.reverses IS NOT NULL AND EXISTS (SELECT 1 FROM postings WHERE reverses = NEW.reverses)
BEGIN SELECT RAISE(ABORT, 'a ledger posting is reversed once'); END;
