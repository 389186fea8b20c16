-- The id of a packet is the key of its row: however often the packet comes, there is one row.
CREATE TABLE readings (
    id text PRIMARY KEY,
    sensor text NOT NULL,
    value double precision NOT NULL,
    sent_by text NOT NULL
);

-- The highest term seen for each domain of a handler.
CREATE TABLE terms (
    handler text,
    domain bigint,
    term bigint NOT NULL,
    PRIMARY KEY (handler, domain)
);
