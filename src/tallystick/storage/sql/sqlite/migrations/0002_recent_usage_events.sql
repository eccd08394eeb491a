-- New ids go to a small table in the order of writing, and from there, sorted, to the big one: see
-- docs/adr/0017. What asks for usage events asks the view, which has each of them once.

DROP TRIGGER usage_events_refuse_update;
DROP TRIGGER usage_events_refuse_delete;

ALTER TABLE usage_events RENAME TO merged_usage_events;

CREATE TRIGGER merged_usage_events_refuse_update BEFORE UPDATE ON merged_usage_events
BEGIN
    SELECT raise(ABORT, 'usage events are never changed');
END;

CREATE TRIGGER merged_usage_events_refuse_delete BEFORE DELETE ON merged_usage_events
BEGIN
    SELECT raise(ABORT, 'usage events are never deleted');
END;

-- Without an index: a batch then dirties the pages at its end and no others. Which ids are in it,
-- the one process that writes knows by heart, and learns anew from here when it starts.
CREATE TABLE recent_usage_events (
    number INTEGER PRIMARY KEY,
    event_id TEXT NOT NULL,
    organization_id TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    dimensions TEXT,
    overdraw INTEGER NOT NULL CHECK (overdraw IN (0, 1))
) STRICT;

CREATE TRIGGER recent_usage_events_refuse_update BEFORE UPDATE ON recent_usage_events
BEGIN
    SELECT raise(ABORT, 'usage events are never changed');
END;

CREATE TRIGGER recent_usage_events_refuse_delete BEFORE DELETE ON recent_usage_events
WHEN NOT EXISTS (
    SELECT 1 FROM merged_usage_events AS m
    WHERE m.event_id = old.event_id AND m.organization_id = old.organization_id
        AND m.sequence = old.sequence
)
BEGIN
    SELECT raise(ABORT, 'usage events are never deleted');
END;

CREATE VIEW usage_events AS
SELECT event_id, organization_id, sequence, dimensions, overdraw FROM merged_usage_events
UNION ALL
SELECT r.event_id, r.organization_id, r.sequence, r.dimensions, r.overdraw
FROM recent_usage_events AS r
WHERE NOT EXISTS (
    SELECT 1 FROM merged_usage_events AS m
    WHERE m.event_id = r.event_id AND m.organization_id = r.organization_id
);

CREATE TRIGGER usage_events_refuse_update INSTEAD OF UPDATE ON usage_events
BEGIN
    SELECT raise(ABORT, 'usage events are never changed');
END;

CREATE TRIGGER usage_events_refuse_delete INSTEAD OF DELETE ON usage_events
BEGIN
    SELECT raise(ABORT, 'usage events are never deleted');
END;
