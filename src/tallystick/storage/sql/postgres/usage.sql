-- Statistics of usage as readers ask for them. Amounts may be negative: what is reversed or erased is
-- taken out again. The names of teamspaces, meters and keys are given where the last three parameters
-- say that usage is told apart by them.

-- name: read_usage_event
SELECT
    e.organization_id, e.sequence, e.kind, e.credits, e.drawn, e.grant_id, e.event_id, e.hold_id,
    e.teamspace_id, e.api_key_id, e.meter, e.occurred_at, e.booked_at, e.remaining_after,
    e.consumed_after, e.overage_after, e.held_after, e.detail, e.content, u.overdraw,
    d.dimensions, d.salt, d.digest, d.counted, d.erased_at
FROM usage_events AS u
JOIN entries AS e ON e.organization_id = u.organization_id AND e.sequence = u.sequence
LEFT JOIN event_dimensions AS d
    ON d.organization_id = u.organization_id AND d.sequence = u.sequence
WHERE u.organization_id = $1 AND u.event_id = $2

-- name: read_days
-- Usage of runs of whole days, by dimension (of $2), from $3 up to, not including, $4: all of it, and
-- what there was before the hour $5. The runs are numbered from 1. Each is looked up in the index,
-- whatever the planner knows of the table.
SELECT run.number, dimension.name, used.*
FROM unnest($3::bigint[], $4::bigint[], $5::bigint[])
    WITH ORDINALITY AS run (start, stop, hour, number)
CROSS JOIN unnest($2::text[]) AS dimension (name)
CROSS JOIN LATERAL (
    SELECT
        d.value,
        CASE WHEN $6 THEN d.teamspace_id ELSE '' END,
        CASE WHEN $7 THEN d.meter ELSE '' END,
        CASE WHEN $8 THEN d.api_key_id ELSE '' END,
        sum(d.credits_24)::bigint,
        sum(d.events_24)::bigint,
        sum(CASE run.hour
            WHEN 0 THEN 0
            WHEN 1 THEN d.credits_01
            WHEN 2 THEN d.credits_02
            WHEN 3 THEN d.credits_03
            WHEN 4 THEN d.credits_04
            WHEN 5 THEN d.credits_05
            WHEN 6 THEN d.credits_06
            WHEN 7 THEN d.credits_07
            WHEN 8 THEN d.credits_08
            WHEN 9 THEN d.credits_09
            WHEN 10 THEN d.credits_10
            WHEN 11 THEN d.credits_11
            WHEN 12 THEN d.credits_12
            WHEN 13 THEN d.credits_13
            WHEN 14 THEN d.credits_14
            WHEN 15 THEN d.credits_15
            WHEN 16 THEN d.credits_16
            WHEN 17 THEN d.credits_17
            WHEN 18 THEN d.credits_18
            WHEN 19 THEN d.credits_19
            WHEN 20 THEN d.credits_20
            WHEN 21 THEN d.credits_21
            WHEN 22 THEN d.credits_22
            WHEN 23 THEN d.credits_23
        END)::bigint,
        sum(CASE run.hour
            WHEN 0 THEN 0
            WHEN 1 THEN d.events_01
            WHEN 2 THEN d.events_02
            WHEN 3 THEN d.events_03
            WHEN 4 THEN d.events_04
            WHEN 5 THEN d.events_05
            WHEN 6 THEN d.events_06
            WHEN 7 THEN d.events_07
            WHEN 8 THEN d.events_08
            WHEN 9 THEN d.events_09
            WHEN 10 THEN d.events_10
            WHEN 11 THEN d.events_11
            WHEN 12 THEN d.events_12
            WHEN 13 THEN d.events_13
            WHEN 14 THEN d.events_14
            WHEN 15 THEN d.events_15
            WHEN 16 THEN d.events_16
            WHEN 17 THEN d.events_17
            WHEN 18 THEN d.events_18
            WHEN 19 THEN d.events_19
            WHEN 20 THEN d.events_20
            WHEN 21 THEN d.events_21
            WHEN 22 THEN d.events_22
            WHEN 23 THEN d.events_23
        END)::bigint
    FROM usage_days AS d
    WHERE
        d.organization_id = $1 AND d.dimension = dimension.name
        AND d.day >= run.start AND d.day < run.stop
    GROUP BY 1, 2, 3, 4
) AS used

-- name: read_quarters
-- Usage of runs of quarters of an hour, likewise, by the bucket of $5 that they are in: the first one
-- is 1.
SELECT run.number, dimension.name, used.*
FROM unnest($3::bigint[], $4::bigint[]) WITH ORDINALITY AS run (start, stop, number)
CROSS JOIN unnest($2::text[]) AS dimension (name)
CROSS JOIN LATERAL (
    SELECT
        r.value,
        CASE WHEN $6 THEN r.teamspace_id ELSE '' END,
        CASE WHEN $7 THEN r.meter ELSE '' END,
        CASE WHEN $8 THEN r.api_key_id ELSE '' END,
        sum(r.credits)::bigint,
        sum(r.events)::bigint,
        width_bucket(r.bucket, $5::bigint[])
    FROM usage_rollups AS r
    WHERE
        r.organization_id = $1 AND r.dimension = dimension.name
        AND r.bucket >= run.start AND r.bucket < run.stop
    GROUP BY 1, 2, 3, 4, 7
) AS used
