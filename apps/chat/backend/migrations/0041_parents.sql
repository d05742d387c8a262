-- What was said before there were branches is one branch: each message follows the one before it.
-- What an older version writes while this one starts has no parent and shows as a branch of its own.
UPDATE messages SET parent_id = (
    SELECT before.id FROM messages AS before
    WHERE before.conversation_id = messages.conversation_id AND before.id < messages.id
    ORDER BY before.id DESC LIMIT 1
) WHERE parent_id IS NULL;
