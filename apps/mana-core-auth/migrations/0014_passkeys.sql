-- Passkeys (WebAuthn): public halves only. Times are milliseconds since 1970 UTC.

CREATE TABLE passkeys (
    -- the credential's id, base64url
    id TEXT NOT NULL PRIMARY KEY,
    user_id UUID NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    -- COSE's number: -7 ES256, -8 EdDSA, -257 RS256
    algorithm BIGINT NOT NULL,
    -- SubjectPublicKeyInfo, base64url
    public_key TEXT NOT NULL,
    sign_count BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    last_used_at BIGINT
);

CREATE INDEX passkeys_by_user ON passkeys (user_id);
