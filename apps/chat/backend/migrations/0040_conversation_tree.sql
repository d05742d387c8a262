-- A conversation becomes a tree: an edited question and an answer given anew stand beside the ones they were made from.
-- Both SQLite and PostgreSQL run this file.

ALTER TABLE conversations ADD COLUMN archived_at BIGINT;
-- the last message of the branch that is shown; none: the newest message
ALTER TABLE conversations ADD COLUMN active_leaf UUID;
-- instructions to the model; none: the person's own, empty: none at all
ALTER TABLE conversations ADD COLUMN system_prompt TEXT;

-- what it follows; none: it begins the conversation
ALTER TABLE messages ADD COLUMN parent_id UUID;

-- Texts that came with a question.
CREATE TABLE attachments (
    id UUID NOT NULL PRIMARY KEY,
    message_id UUID NOT NULL REFERENCES messages (id) ON DELETE CASCADE,
    position BIGINT NOT NULL,
    name TEXT NOT NULL,
    content TEXT NOT NULL
);
CREATE INDEX attachments_by_message ON attachments (message_id, position);

-- Links by which anybody reads a conversation up to a message. The link is kept so that its owner can copy it again; it opens
-- nothing that this database does not hold beside it.
CREATE TABLE shares (
    id UUID NOT NULL PRIMARY KEY,
    conversation_id UUID NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
    token TEXT NOT NULL,
    -- SHA-256 of the token: what it is found by
    hash TEXT NOT NULL UNIQUE,
    title TEXT NOT NULL,
    leaf UUID NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX shares_by_conversation ON shares (conversation_id, id);

-- What a person wants in every conversation.
CREATE TABLE preferences (
    user_id UUID NOT NULL PRIMARY KEY,
    system_prompt TEXT NOT NULL,
    updated_at BIGINT NOT NULL
);

-- Who has deleted everything, and when: an answer that began before that is not stored after it.
CREATE TABLE erasures (
    user_id UUID NOT NULL PRIMARY KEY,
    erased_at BIGINT NOT NULL,
    -- whether the account is gone with it
    account BOOLEAN NOT NULL
);
