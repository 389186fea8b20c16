-- The id of the item that brought a row is its key: however often that comes, there is one row.
CREATE TABLE readings (
    id text PRIMARY KEY,
    tenant text NOT NULL,
    sensor text NOT NULL,
    at double precision NOT NULL,
    value double precision NOT NULL,
    -- By which it may be removed; "at" is the sensor's own time.
    written timestamptz NOT NULL DEFAULT now()
);

-- The highest term that was seen of each domain of a handler.
CREATE TABLE terms (
    handler text,
    domain bigint,
    term bigint NOT NULL,
    PRIMARY KEY (handler, domain)
);
