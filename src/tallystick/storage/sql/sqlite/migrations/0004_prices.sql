-- The price book, which belongs to no organization. `per` is a quantity as decimal text, since a
-- billionth of a unit of what is counted in bytes outgrows 64 bits; `dimensions` is canonical JSON.
--
-- Both tables only grow, so the last numbers of the two say which state of the book this is.

CREATE TABLE prices (
    number INTEGER PRIMARY KEY,
    price_id TEXT NOT NULL UNIQUE,
    meter TEXT NOT NULL,
    dimensions TEXT NOT NULL,
    credits INTEGER NOT NULL CHECK (credits >= 0),
    per TEXT NOT NULL,
    rounding TEXT NOT NULL CHECK (rounding IN ('up', 'down', 'half_up', 'half_even')),
    effective_at INTEGER NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

CREATE INDEX prices_by_meter ON prices (meter);
CREATE INDEX prices_by_age ON prices (created_at, price_id);

CREATE TRIGGER prices_refuse_update BEFORE UPDATE ON prices
BEGIN
    SELECT raise(ABORT, 'prices are never changed');
END;

CREATE TRIGGER prices_refuse_delete BEFORE DELETE ON prices
BEGIN
    SELECT raise(ABORT, 'prices are never deleted');
END;

-- An end can be brought forward: the earliest of a price's ends counts.
CREATE TABLE price_ends (
    number INTEGER PRIMARY KEY,
    price_id TEXT NOT NULL REFERENCES prices (price_id),
    ends_at INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    UNIQUE (price_id, ends_at)
) STRICT;

CREATE TRIGGER price_ends_refuse_update BEFORE UPDATE ON price_ends
BEGIN
    SELECT raise(ABORT, 'ends of prices are never changed');
END;

CREATE TRIGGER price_ends_refuse_delete BEFORE DELETE ON price_ends
BEGIN
    SELECT raise(ABORT, 'ends of prices are never deleted');
END;
