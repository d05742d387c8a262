-- INSERT OR REPLACE deletes without firing the triggers on deletion: what stands is not replaced either.
CREATE TRIGGER entries_are_not_replaced BEFORE INSERT ON entries
WHEN EXISTS (SELECT 1 FROM entries WHERE posting_id = NEW.posting_id AND account = NEW.account)
BEGIN SELECT RAISE(ABORT, 'ledger entries are append-only'); END;
CREATE TRIGGER postings_are_not_replaced BEFORE INSERT ON postings
WHEN EXISTS (SELECT 1 FROM postings WHERE id = NEW.id)
BEGIN SELECT RAISE(ABORT, 'ledger postings are append-only'); END;
