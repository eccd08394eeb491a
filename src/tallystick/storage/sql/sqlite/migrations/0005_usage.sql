-- Statistics of usage by the day and by dimensions, and dimensions that can be erased.

ALTER TABLE organizations ADD COLUMN usage_dimensions TEXT NOT NULL DEFAULT '[]';

-- Usage by quarters of an hour; absent teamspaces, meters and keys are ''. With dimension '' all usage
-- is there; with a dimension's name once more what has it, by its value.
CREATE TABLE usage_quarters (
    organization_id TEXT NOT NULL,
    dimension TEXT NOT NULL,
    bucket INTEGER NOT NULL,
    value TEXT NOT NULL,
    teamspace_id TEXT NOT NULL,
    meter TEXT NOT NULL,
    api_key_id TEXT NOT NULL,
    credits INTEGER NOT NULL,
    events INTEGER NOT NULL,
    PRIMARY KEY (organization_id, dimension, bucket, value, teamspace_id, meter, api_key_id)
) STRICT, WITHOUT ROWID;

INSERT INTO usage_quarters
SELECT organization_id, '', bucket, '', teamspace_id, meter, api_key_id, credits, events
FROM usage_rollups
ORDER BY organization_id, bucket, teamspace_id, meter, api_key_id;

DROP TABLE usage_rollups;

ALTER TABLE usage_quarters RENAME TO usage_rollups;

-- The same by days of UTC. Each pair of columns says how much there was before that hour of the day,
-- so that a day of any zone is the difference of three figures, wherever it begins: see
-- docs/adr/0019.
CREATE TABLE usage_days (
    organization_id TEXT NOT NULL,
    dimension TEXT NOT NULL,
    day INTEGER NOT NULL CHECK (day % 86400000000 = 0),
    value TEXT NOT NULL,
    teamspace_id TEXT NOT NULL,
    meter TEXT NOT NULL,
    api_key_id TEXT NOT NULL,
    credits_01 INTEGER NOT NULL, events_01 INTEGER NOT NULL,
    credits_02 INTEGER NOT NULL, events_02 INTEGER NOT NULL,
    credits_03 INTEGER NOT NULL, events_03 INTEGER NOT NULL,
    credits_04 INTEGER NOT NULL, events_04 INTEGER NOT NULL,
    credits_05 INTEGER NOT NULL, events_05 INTEGER NOT NULL,
    credits_06 INTEGER NOT NULL, events_06 INTEGER NOT NULL,
    credits_07 INTEGER NOT NULL, events_07 INTEGER NOT NULL,
    credits_08 INTEGER NOT NULL, events_08 INTEGER NOT NULL,
    credits_09 INTEGER NOT NULL, events_09 INTEGER NOT NULL,
    credits_10 INTEGER NOT NULL, events_10 INTEGER NOT NULL,
    credits_11 INTEGER NOT NULL, events_11 INTEGER NOT NULL,
    credits_12 INTEGER NOT NULL, events_12 INTEGER NOT NULL,
    credits_13 INTEGER NOT NULL, events_13 INTEGER NOT NULL,
    credits_14 INTEGER NOT NULL, events_14 INTEGER NOT NULL,
    credits_15 INTEGER NOT NULL, events_15 INTEGER NOT NULL,
    credits_16 INTEGER NOT NULL, events_16 INTEGER NOT NULL,
    credits_17 INTEGER NOT NULL, events_17 INTEGER NOT NULL,
    credits_18 INTEGER NOT NULL, events_18 INTEGER NOT NULL,
    credits_19 INTEGER NOT NULL, events_19 INTEGER NOT NULL,
    credits_20 INTEGER NOT NULL, events_20 INTEGER NOT NULL,
    credits_21 INTEGER NOT NULL, events_21 INTEGER NOT NULL,
    credits_22 INTEGER NOT NULL, events_22 INTEGER NOT NULL,
    credits_23 INTEGER NOT NULL, events_23 INTEGER NOT NULL,
    credits_24 INTEGER NOT NULL, events_24 INTEGER NOT NULL,
    PRIMARY KEY (organization_id, dimension, day, value, teamspace_id, meter, api_key_id)
) STRICT, WITHOUT ROWID;

INSERT INTO usage_days
SELECT
    organization_id, dimension, bucket - bucket % 86400000000, value, teamspace_id, meter, api_key_id,
    sum(iif(bucket % 86400000000 < 1 * 3600000000, credits, 0)),
    sum(iif(bucket % 86400000000 < 1 * 3600000000, events, 0)),
    sum(iif(bucket % 86400000000 < 2 * 3600000000, credits, 0)),
    sum(iif(bucket % 86400000000 < 2 * 3600000000, events, 0)),
    sum(iif(bucket % 86400000000 < 3 * 3600000000, credits, 0)),
    sum(iif(bucket % 86400000000 < 3 * 3600000000, events, 0)),
    sum(iif(bucket % 86400000000 < 4 * 3600000000, credits, 0)),
    sum(iif(bucket % 86400000000 < 4 * 3600000000, events, 0)),
    sum(iif(bucket % 86400000000 < 5 * 3600000000, credits, 0)),
    sum(iif(bucket % 86400000000 < 5 * 3600000000, events, 0)),
    sum(iif(bucket % 86400000000 < 6 * 3600000000, credits, 0)),
    sum(iif(bucket % 86400000000 < 6 * 3600000000, events, 0)),
    sum(iif(bucket % 86400000000 < 7 * 3600000000, credits, 0)),
    sum(iif(bucket % 86400000000 < 7 * 3600000000, events, 0)),
    sum(iif(bucket % 86400000000 < 8 * 3600000000, credits, 0)),
    sum(iif(bucket % 86400000000 < 8 * 3600000000, events, 0)),
    sum(iif(bucket % 86400000000 < 9 * 3600000000, credits, 0)),
    sum(iif(bucket % 86400000000 < 9 * 3600000000, events, 0)),
    sum(iif(bucket % 86400000000 < 10 * 3600000000, credits, 0)),
    sum(iif(bucket % 86400000000 < 10 * 3600000000, events, 0)),
    sum(iif(bucket % 86400000000 < 11 * 3600000000, credits, 0)),
    sum(iif(bucket % 86400000000 < 11 * 3600000000, events, 0)),
    sum(iif(bucket % 86400000000 < 12 * 3600000000, credits, 0)),
    sum(iif(bucket % 86400000000 < 12 * 3600000000, events, 0)),
    sum(iif(bucket % 86400000000 < 13 * 3600000000, credits, 0)),
    sum(iif(bucket % 86400000000 < 13 * 3600000000, events, 0)),
    sum(iif(bucket % 86400000000 < 14 * 3600000000, credits, 0)),
    sum(iif(bucket % 86400000000 < 14 * 3600000000, events, 0)),
    sum(iif(bucket % 86400000000 < 15 * 3600000000, credits, 0)),
    sum(iif(bucket % 86400000000 < 15 * 3600000000, events, 0)),
    sum(iif(bucket % 86400000000 < 16 * 3600000000, credits, 0)),
    sum(iif(bucket % 86400000000 < 16 * 3600000000, events, 0)),
    sum(iif(bucket % 86400000000 < 17 * 3600000000, credits, 0)),
    sum(iif(bucket % 86400000000 < 17 * 3600000000, events, 0)),
    sum(iif(bucket % 86400000000 < 18 * 3600000000, credits, 0)),
    sum(iif(bucket % 86400000000 < 18 * 3600000000, events, 0)),
    sum(iif(bucket % 86400000000 < 19 * 3600000000, credits, 0)),
    sum(iif(bucket % 86400000000 < 19 * 3600000000, events, 0)),
    sum(iif(bucket % 86400000000 < 20 * 3600000000, credits, 0)),
    sum(iif(bucket % 86400000000 < 20 * 3600000000, events, 0)),
    sum(iif(bucket % 86400000000 < 21 * 3600000000, credits, 0)),
    sum(iif(bucket % 86400000000 < 21 * 3600000000, events, 0)),
    sum(iif(bucket % 86400000000 < 22 * 3600000000, credits, 0)),
    sum(iif(bucket % 86400000000 < 22 * 3600000000, events, 0)),
    sum(iif(bucket % 86400000000 < 23 * 3600000000, credits, 0)),
    sum(iif(bucket % 86400000000 < 23 * 3600000000, events, 0)),
    sum(iif(bucket % 86400000000 < 24 * 3600000000, credits, 0)),
    sum(iif(bucket % 86400000000 < 24 * 3600000000, events, 0))
FROM usage_rollups
GROUP BY organization_id, bucket - bucket % 86400000000, teamspace_id, meter, api_key_id;

-- What an event says beyond its entry. Erasing takes names, values and salt; the digest stays, since
-- the entry's content is made of it. Rows lie in the order written, and are never moved: what was
-- erased is left nowhere else in the file.
CREATE TABLE event_dimensions (
    organization_id TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    dimensions TEXT,
    salt BLOB,
    digest BLOB NOT NULL CHECK (length(digest) = 32),
    counted TEXT NOT NULL,
    erased_at INTEGER,
    PRIMARY KEY (organization_id, sequence),
    CHECK ((dimensions IS NULL) = (erased_at IS NOT NULL)),
    CHECK ((salt IS NULL) = (erased_at IS NOT NULL))
) STRICT, WITHOUT ROWID;

-- Of events that were booked before there were salts, no digest is known: sent again, they are a
-- conflict, and nothing is charged.
INSERT INTO event_dimensions
SELECT organization_id, sequence, dimensions, x'', zeroblob(32), '[]', NULL
FROM usage_events
WHERE dimensions IS NOT NULL
ORDER BY organization_id, sequence;

CREATE TRIGGER event_dimensions_are_only_erased BEFORE UPDATE ON event_dimensions
WHEN old.erased_at IS NOT NULL OR new.erased_at IS NULL
    OR new.organization_id <> old.organization_id OR new.sequence <> old.sequence
    OR new.digest <> old.digest OR new.counted <> old.counted
BEGIN
    SELECT raise(ABORT, 'the dimensions of usage events are never changed, only erased');
END;

CREATE TRIGGER event_dimensions_refuse_delete BEFORE DELETE ON event_dimensions
BEGIN
    SELECT raise(ABORT, 'the dimensions of usage events are erased, not deleted');
END;

ALTER TABLE usage_events DROP COLUMN dimensions;
