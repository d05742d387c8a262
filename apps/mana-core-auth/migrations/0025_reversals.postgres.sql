-- The posting that this one undoes.
ALTER TABLE postings ADD COLUMN reverses UUID;
