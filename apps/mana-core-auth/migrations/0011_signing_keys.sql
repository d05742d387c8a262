-- When which key signs. The keys themselves are made of the seed and the generation; nothing secret is here.

CREATE TABLE signing_keys (
    generation BIGINT NOT NULL PRIMARY KEY,
    created_at BIGINT NOT NULL,
    -- published from its creation on, so that everybody knows it before the first token comes
    signs_from BIGINT NOT NULL,
    -- no token of it counts any more
    withdrawn_at BIGINT
);
