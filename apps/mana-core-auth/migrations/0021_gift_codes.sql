-- Codes that anyone who has an account can turn into credits, once each.
CREATE TABLE gift_codes (
    id UUID NOT NULL PRIMARY KEY,
    -- six characters, in upper case, without I, O, 0 and 1
    code TEXT NOT NULL UNIQUE,
    amount BIGINT NOT NULL CHECK (amount > 0),
    -- 'free' or 'paid'
    funds TEXT NOT NULL,
    -- by how many users, and by how many it was
    uses BIGINT NOT NULL CHECK (uses > 0),
    used BIGINT NOT NULL CHECK (used >= 0 AND used <= uses),
    expires_at BIGINT,
    -- why it was made, and by whom
    reason TEXT NOT NULL,
    made_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    withdrawn_at BIGINT
);

CREATE TABLE gift_redemptions (
    code_id UUID NOT NULL REFERENCES gift_codes (id),
    user_id UUID NOT NULL,
    posting_id UUID NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (code_id, user_id)
);

CREATE INDEX gift_redemptions_by_user ON gift_redemptions (user_id);
