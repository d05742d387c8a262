-- Whose session it is, so that all of a person's go when their account is deleted. Absent of what began before this column,
-- until its tokens are exchanged for the next ones.

ALTER TABLE web_sessions ADD COLUMN user_id UUID;
