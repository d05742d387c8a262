-- Other services that have yet to forget somebody whose account was deleted.
CREATE TABLE farewells (
    user_id UUID NOT NULL,
    -- where a service forgets people; their id follows it
    url TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    -- milliseconds since 1970 UTC
    next_try_at BIGINT NOT NULL,
    PRIMARY KEY (user_id, url)
);

CREATE INDEX farewells_to_say ON farewells (next_try_at);
