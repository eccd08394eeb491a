-- Entries, one by one and as a list. A list is found by sequence first: `…_older` walks towards older
-- entries and `…_newer` towards newer ones.

-- name: last_sequence
SELECT sequence FROM accounts WHERE organization_id = $1

-- name: first_booked_since
-- The first entry booked at $3 or later, of those up to $2; $2 + 1 where all are earlier. `booked_at`
-- never falls, so it is found by bisection.
WITH RECURSIVE search (low, high) AS (
    SELECT 1::bigint, $2::bigint + 1
    UNION ALL
    SELECT
        CASE WHEN probe.is_earlier THEN probe.middle + 1 ELSE probe.low END,
        CASE WHEN probe.is_earlier THEN probe.high ELSE probe.middle END
    FROM (
        SELECT
            low, high, (low + high) / 2 AS middle,
            coalesce((
                SELECT e.booked_at < $3
                FROM entries AS e
                WHERE e.organization_id = $1 AND e.sequence = (low + high) / 2
            ), true) AS is_earlier
        FROM search
        WHERE low < high
    ) AS probe
)
SELECT low FROM search WHERE low >= high

-- name: latest_milestone
SELECT state
FROM milestones
WHERE organization_id = $1 AND sequence <= $2
ORDER BY sequence DESC
LIMIT 1

-- name: entries_between
-- After $2, up to $3.
SELECT
    organization_id, sequence, kind, credits, drawn, grant_id, event_id, hold_id, teamspace_id,
    api_key_id, meter, occurred_at, booked_at, remaining_after, consumed_after, overage_after,
    held_after, detail, content
FROM entries
WHERE organization_id = $1 AND sequence > $2 AND sequence <= $3
ORDER BY sequence

-- name: read_event
-- The entry that booked a usage event.
SELECT
    e.organization_id, e.sequence, e.kind, e.credits, e.drawn, e.grant_id, e.event_id, e.hold_id,
    e.teamspace_id, e.api_key_id, e.meter, e.occurred_at, e.booked_at, e.remaining_after,
    e.consumed_after, e.overage_after, e.held_after, e.detail, e.content
FROM usage_events AS u
JOIN entries AS e ON e.organization_id = u.organization_id AND e.sequence = u.sequence
WHERE u.organization_id = $1 AND u.event_id = $2

-- name: read_reversals
SELECT
    organization_id, sequence, kind, credits, drawn, grant_id, event_id, hold_id, teamspace_id,
    api_key_id, meter, occurred_at, booked_at, remaining_after, consumed_after, overage_after,
    held_after, detail, content
FROM entries
WHERE organization_id = $1 AND event_id = $2 AND kind = 'usage.reversed'
ORDER BY sequence

-- name: read_entries
SELECT
    organization_id, sequence, kind, credits, drawn, grant_id, event_id, hold_id, teamspace_id,
    api_key_id, meter, occurred_at, booked_at, remaining_after, consumed_after, overage_after,
    held_after, detail, content
FROM entries
WHERE organization_id = $1 AND sequence = ANY($2::bigint[])
ORDER BY sequence

-- name: read_sealed
-- With the hash before it and its own.
SELECT
    e.organization_id, e.sequence, e.kind, e.credits, e.drawn, e.grant_id, e.event_id, e.hold_id,
    e.teamspace_id, e.api_key_id, e.meter, e.occurred_at, e.booked_at, e.remaining_after,
    e.consumed_after, e.overage_after, e.held_after, e.detail, e.content,
    (
        SELECT before.hash
        FROM entries AS before
        WHERE before.organization_id = $1 AND before.sequence = e.sequence - 1
    ),
    e.hash
FROM entries AS e
WHERE e.organization_id = $1 AND e.sequence = ANY($2::bigint[])
ORDER BY e.sequence

-- Sequences of entries from $2 up to, not including, $3.

-- name: entries_older
-- Used without a kind, or with that of usage, which most entries have.
SELECT sequence
FROM entries
WHERE organization_id = $1 AND sequence >= $2 AND sequence < $3 AND ($4::text IS NULL OR kind = $4)
ORDER BY sequence DESC
LIMIT $5

-- name: entries_newer
SELECT sequence
FROM entries
WHERE organization_id = $1 AND sequence >= $2 AND sequence < $3 AND ($4::text IS NULL OR kind = $4)
ORDER BY sequence
LIMIT $5

-- name: entries_of_kind_older
SELECT sequence
FROM entries
WHERE
    organization_id = $1 AND sequence >= $2 AND sequence < $3
    AND kind = $4 AND kind <> 'usage.booked'
ORDER BY sequence DESC
LIMIT $5

-- name: entries_of_kind_newer
SELECT sequence
FROM entries
WHERE
    organization_id = $1 AND sequence >= $2 AND sequence < $3
    AND kind = $4 AND kind <> 'usage.booked'
ORDER BY sequence
LIMIT $5

-- name: entries_of_grant_older
SELECT sequence
FROM entries
WHERE
    organization_id = $1 AND sequence >= $2 AND sequence < $3
    AND ($4::text IS NULL OR kind = $4) AND grant_id = $6
ORDER BY sequence DESC
LIMIT $5

-- name: entries_of_grant_newer
SELECT sequence
FROM entries
WHERE
    organization_id = $1 AND sequence >= $2 AND sequence < $3
    AND ($4::text IS NULL OR kind = $4) AND grant_id = $6
ORDER BY sequence
LIMIT $5

-- name: entries_naming_grant_older
-- Entries about a grant and those that drew from it: `drawn` is JSON, a grant's id stands quoted.
SELECT sequence
FROM entries
WHERE
    organization_id = $1 AND sequence >= $2 AND sequence < $3
    AND ($4::text IS NULL OR kind = $4)
    AND (grant_id = $6 OR strpos(drawn, '"' || $6::text || '"') > 0)
ORDER BY sequence DESC
LIMIT $5

-- name: entries_naming_grant_newer
SELECT sequence
FROM entries
WHERE
    organization_id = $1 AND sequence >= $2 AND sequence < $3
    AND ($4::text IS NULL OR kind = $4)
    AND (grant_id = $6 OR strpos(drawn, '"' || $6::text || '"') > 0)
ORDER BY sequence
LIMIT $5

-- name: entries_of_event
-- The entry that booked a usage event and those that reversed parts of it, from $2 up to, not
-- including, $3; $5 is a grant that they are about or drew from.
SELECT e.sequence
FROM usage_events AS u
JOIN entries AS e ON e.organization_id = u.organization_id AND e.sequence = u.sequence
WHERE
    u.organization_id = $1 AND u.event_id = $6 AND e.sequence >= $2 AND e.sequence < $3
    AND ($4::text IS NULL OR e.kind = $4)
    AND ($5::text IS NULL OR e.grant_id = $5 OR strpos(e.drawn, '"' || $5 || '"') > 0)
UNION ALL
SELECT e.sequence
FROM entries AS e
WHERE
    e.organization_id = $1 AND e.event_id = $6 AND e.kind = 'usage.reversed'
    AND e.sequence >= $2 AND e.sequence < $3
    AND ($4::text IS NULL OR e.kind = $4)
    AND ($5::text IS NULL OR e.grant_id = $5 OR strpos(e.drawn, '"' || $5 || '"') > 0)
ORDER BY sequence
