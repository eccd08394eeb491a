-- The two tables of usage events: see the module `sqlite_recent`.

-- name: read_recent
SELECT number, organization_id, event_id FROM recent_usage_events ORDER BY number

-- name: find_merged
SELECT 1 FROM merged_usage_events WHERE organization_id = ?1 AND event_id = ?2

-- name: add_usage_event
INSERT INTO merged_usage_events (organization_id, event_id, sequence, dimensions, overdraw)
VALUES (?1, ?2, ?3, ?4, ?5)

-- name: add_recent_usage_event
INSERT INTO recent_usage_events (
    number, organization_id, event_id, sequence, dimensions, overdraw
)
VALUES (?1, ?2, ?3, ?4, ?5, ?6)

-- name: merge_usage_events
-- ?1 is an array of numbers, in the order of the ids. Some may have been copied before: see there.
INSERT OR IGNORE INTO merged_usage_events (
    organization_id, event_id, sequence, dimensions, overdraw
)
SELECT r.organization_id, r.event_id, r.sequence, r.dimensions, r.overdraw
FROM carray(?1) AS chosen
CROSS JOIN recent_usage_events AS r ON r.number = chosen.value

-- name: forget_merged
DELETE FROM recent_usage_events WHERE number > ?1 AND number <= ?2
