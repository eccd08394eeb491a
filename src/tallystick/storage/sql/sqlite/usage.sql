-- Statistics of usage. Amounts may be negative: what is reversed or erased is taken out again.

-- name: add_to_rollup
INSERT INTO usage_rollups (
    organization_id, bucket, teamspace_id, meter, api_key_id, dimension, value, credits, events
)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
ON CONFLICT (organization_id, dimension, bucket, value, teamspace_id, meter, api_key_id) DO UPDATE SET
    credits = credits + excluded.credits,
    events = events + excluded.events

-- name: add_to_day
-- ?2 is the day, ?10 the hour of the day: only what comes after it is more than before.
INSERT INTO usage_days (
    organization_id, day, teamspace_id, meter, api_key_id, dimension, value,
    credits_01, events_01, credits_02, events_02, credits_03, events_03, credits_04, events_04,
    credits_05, events_05, credits_06, events_06, credits_07, events_07, credits_08, events_08,
    credits_09, events_09, credits_10, events_10, credits_11, events_11, credits_12, events_12,
    credits_13, events_13, credits_14, events_14, credits_15, events_15, credits_16, events_16,
    credits_17, events_17, credits_18, events_18, credits_19, events_19, credits_20, events_20,
    credits_21, events_21, credits_22, events_22, credits_23, events_23, credits_24, events_24
)
VALUES (
    ?1, ?2, ?3, ?4, ?5, ?6, ?7,
    (?10 < 1) * ?8, (?10 < 1) * ?9, (?10 < 2) * ?8, (?10 < 2) * ?9, (?10 < 3) * ?8,
    (?10 < 3) * ?9, (?10 < 4) * ?8, (?10 < 4) * ?9, (?10 < 5) * ?8, (?10 < 5) * ?9,
    (?10 < 6) * ?8, (?10 < 6) * ?9, (?10 < 7) * ?8, (?10 < 7) * ?9, (?10 < 8) * ?8,
    (?10 < 8) * ?9, (?10 < 9) * ?8, (?10 < 9) * ?9, (?10 < 10) * ?8, (?10 < 10) * ?9,
    (?10 < 11) * ?8, (?10 < 11) * ?9, (?10 < 12) * ?8, (?10 < 12) * ?9, (?10 < 13) * ?8,
    (?10 < 13) * ?9, (?10 < 14) * ?8, (?10 < 14) * ?9, (?10 < 15) * ?8, (?10 < 15) * ?9,
    (?10 < 16) * ?8, (?10 < 16) * ?9, (?10 < 17) * ?8, (?10 < 17) * ?9, (?10 < 18) * ?8,
    (?10 < 18) * ?9, (?10 < 19) * ?8, (?10 < 19) * ?9, (?10 < 20) * ?8, (?10 < 20) * ?9,
    (?10 < 21) * ?8, (?10 < 21) * ?9, (?10 < 22) * ?8, (?10 < 22) * ?9, (?10 < 23) * ?8,
    (?10 < 23) * ?9, (?10 < 24) * ?8, (?10 < 24) * ?9
)
ON CONFLICT (organization_id, dimension, day, value, teamspace_id, meter, api_key_id) DO UPDATE SET
    credits_01 = credits_01 + excluded.credits_01, events_01 = events_01 + excluded.events_01,
    credits_02 = credits_02 + excluded.credits_02, events_02 = events_02 + excluded.events_02,
    credits_03 = credits_03 + excluded.credits_03, events_03 = events_03 + excluded.events_03,
    credits_04 = credits_04 + excluded.credits_04, events_04 = events_04 + excluded.events_04,
    credits_05 = credits_05 + excluded.credits_05, events_05 = events_05 + excluded.events_05,
    credits_06 = credits_06 + excluded.credits_06, events_06 = events_06 + excluded.events_06,
    credits_07 = credits_07 + excluded.credits_07, events_07 = events_07 + excluded.events_07,
    credits_08 = credits_08 + excluded.credits_08, events_08 = events_08 + excluded.events_08,
    credits_09 = credits_09 + excluded.credits_09, events_09 = events_09 + excluded.events_09,
    credits_10 = credits_10 + excluded.credits_10, events_10 = events_10 + excluded.events_10,
    credits_11 = credits_11 + excluded.credits_11, events_11 = events_11 + excluded.events_11,
    credits_12 = credits_12 + excluded.credits_12, events_12 = events_12 + excluded.events_12,
    credits_13 = credits_13 + excluded.credits_13, events_13 = events_13 + excluded.events_13,
    credits_14 = credits_14 + excluded.credits_14, events_14 = events_14 + excluded.events_14,
    credits_15 = credits_15 + excluded.credits_15, events_15 = events_15 + excluded.events_15,
    credits_16 = credits_16 + excluded.credits_16, events_16 = events_16 + excluded.events_16,
    credits_17 = credits_17 + excluded.credits_17, events_17 = events_17 + excluded.events_17,
    credits_18 = credits_18 + excluded.credits_18, events_18 = events_18 + excluded.events_18,
    credits_19 = credits_19 + excluded.credits_19, events_19 = events_19 + excluded.events_19,
    credits_20 = credits_20 + excluded.credits_20, events_20 = events_20 + excluded.events_20,
    credits_21 = credits_21 + excluded.credits_21, events_21 = events_21 + excluded.events_21,
    credits_22 = credits_22 + excluded.credits_22, events_22 = events_22 + excluded.events_22,
    credits_23 = credits_23 + excluded.credits_23, events_23 = events_23 + excluded.events_23,
    credits_24 = credits_24 + excluded.credits_24, events_24 = events_24 + excluded.events_24

-- name: drop_empty_rollup
-- What nothing is counted under any more says a value that has been erased.
DELETE FROM usage_rollups
WHERE
    organization_id = ?1 AND dimension = ?6 AND bucket = ?2 AND value = ?7 AND teamspace_id = ?3
    AND meter = ?4 AND api_key_id = ?5 AND events = 0

-- name: drop_empty_day
DELETE FROM usage_days
WHERE
    organization_id = ?1 AND dimension = ?6 AND day = ?2 AND value = ?7 AND teamspace_id = ?3
    AND meter = ?4 AND api_key_id = ?5 AND events_24 = 0

-- name: add_dimensions
INSERT INTO event_dimensions (
    organization_id, sequence, dimensions, salt, digest, counted, erased_at
)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)

-- name: erase_dimensions
UPDATE event_dimensions SET dimensions = NULL, salt = NULL, erased_at = ?3
WHERE organization_id = ?1 AND sequence = ?2

-- name: erase_hold
UPDATE holds SET dimensions = NULL, salt = NULL WHERE organization_id = ?1 AND hold_id = ?2

-- name: overwrite_what_is_deleted
-- Also pages that become free: they would keep what they have until something takes their place.
PRAGMA secure_delete = ON

-- name: overwrite_what_costs_nothing
PRAGMA secure_delete = FAST

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
WHERE u.organization_id = ?1 AND u.event_id = ?2

-- name: series_settings
-- Each page is read once: to remember many of them costs more, in memory that is new, than it saves.
PRAGMA cache_size = -2000

-- Usage of whole days from ?3 up to, not including, ?4: all of it, and what there was before hour ?5.
-- Adding up in the order in which rows lie takes half the time that any other does, so the groupings
-- that allow it have statements of their own. In the others, the last three parameters say whether
-- teamspaces, meters and keys are told apart. The hours are asked for by sixes: a CASE tries one WHEN
-- after the other, for each row.

-- name: read_days_together
SELECT
    day, value, '', '', '', sum(credits_24), sum(events_24),
    sum(CASE ?5 / 6
        WHEN 0 THEN CASE ?5
            WHEN 0 THEN 0 WHEN 1 THEN credits_01 WHEN 2 THEN credits_02
            WHEN 3 THEN credits_03 WHEN 4 THEN credits_04 WHEN 5 THEN credits_05 END
        WHEN 1 THEN CASE ?5
            WHEN 6 THEN credits_06 WHEN 7 THEN credits_07 WHEN 8 THEN credits_08
            WHEN 9 THEN credits_09 WHEN 10 THEN credits_10 WHEN 11 THEN credits_11 END
        WHEN 2 THEN CASE ?5
            WHEN 12 THEN credits_12 WHEN 13 THEN credits_13 WHEN 14 THEN credits_14
            WHEN 15 THEN credits_15 WHEN 16 THEN credits_16 WHEN 17 THEN credits_17 END
        WHEN 3 THEN CASE ?5
            WHEN 18 THEN credits_18 WHEN 19 THEN credits_19 WHEN 20 THEN credits_20
            WHEN 21 THEN credits_21 WHEN 22 THEN credits_22 WHEN 23 THEN credits_23 END
    END),
    sum(CASE ?5 / 6
        WHEN 0 THEN CASE ?5
            WHEN 0 THEN 0 WHEN 1 THEN events_01 WHEN 2 THEN events_02
            WHEN 3 THEN events_03 WHEN 4 THEN events_04 WHEN 5 THEN events_05 END
        WHEN 1 THEN CASE ?5
            WHEN 6 THEN events_06 WHEN 7 THEN events_07 WHEN 8 THEN events_08
            WHEN 9 THEN events_09 WHEN 10 THEN events_10 WHEN 11 THEN events_11 END
        WHEN 2 THEN CASE ?5
            WHEN 12 THEN events_12 WHEN 13 THEN events_13 WHEN 14 THEN events_14
            WHEN 15 THEN events_15 WHEN 16 THEN events_16 WHEN 17 THEN events_17 END
        WHEN 3 THEN CASE ?5
            WHEN 18 THEN events_18 WHEN 19 THEN events_19 WHEN 20 THEN events_20
            WHEN 21 THEN events_21 WHEN 22 THEN events_22 WHEN 23 THEN events_23 END
    END)
FROM usage_days
WHERE organization_id = ?1 AND dimension = ?2 AND day >= ?3 AND day < ?4
GROUP BY day, value

-- name: read_days_by_teamspace
SELECT
    day, value, teamspace_id, '', '', sum(credits_24), sum(events_24),
    sum(CASE ?5 / 6
        WHEN 0 THEN CASE ?5
            WHEN 0 THEN 0 WHEN 1 THEN credits_01 WHEN 2 THEN credits_02
            WHEN 3 THEN credits_03 WHEN 4 THEN credits_04 WHEN 5 THEN credits_05 END
        WHEN 1 THEN CASE ?5
            WHEN 6 THEN credits_06 WHEN 7 THEN credits_07 WHEN 8 THEN credits_08
            WHEN 9 THEN credits_09 WHEN 10 THEN credits_10 WHEN 11 THEN credits_11 END
        WHEN 2 THEN CASE ?5
            WHEN 12 THEN credits_12 WHEN 13 THEN credits_13 WHEN 14 THEN credits_14
            WHEN 15 THEN credits_15 WHEN 16 THEN credits_16 WHEN 17 THEN credits_17 END
        WHEN 3 THEN CASE ?5
            WHEN 18 THEN credits_18 WHEN 19 THEN credits_19 WHEN 20 THEN credits_20
            WHEN 21 THEN credits_21 WHEN 22 THEN credits_22 WHEN 23 THEN credits_23 END
    END),
    sum(CASE ?5 / 6
        WHEN 0 THEN CASE ?5
            WHEN 0 THEN 0 WHEN 1 THEN events_01 WHEN 2 THEN events_02
            WHEN 3 THEN events_03 WHEN 4 THEN events_04 WHEN 5 THEN events_05 END
        WHEN 1 THEN CASE ?5
            WHEN 6 THEN events_06 WHEN 7 THEN events_07 WHEN 8 THEN events_08
            WHEN 9 THEN events_09 WHEN 10 THEN events_10 WHEN 11 THEN events_11 END
        WHEN 2 THEN CASE ?5
            WHEN 12 THEN events_12 WHEN 13 THEN events_13 WHEN 14 THEN events_14
            WHEN 15 THEN events_15 WHEN 16 THEN events_16 WHEN 17 THEN events_17 END
        WHEN 3 THEN CASE ?5
            WHEN 18 THEN events_18 WHEN 19 THEN events_19 WHEN 20 THEN events_20
            WHEN 21 THEN events_21 WHEN 22 THEN events_22 WHEN 23 THEN events_23 END
    END)
FROM usage_days
WHERE organization_id = ?1 AND dimension = ?2 AND day >= ?3 AND day < ?4
GROUP BY day, value, teamspace_id

-- name: read_days_by_any
-- The LIMIT, which is none, keeps the two levels apart: taken together, whatever columns a row has
-- would be sorted, and not the four figures that are added up.
SELECT
    day, value, teamspace_id, meter, api_key_id, sum(used), sum(events), sum(used_before),
    sum(events_before)
FROM (
    SELECT
        day, value, iif(?6, teamspace_id, '') AS teamspace_id, iif(?7, meter, '') AS meter,
        iif(?8, api_key_id, '') AS api_key_id, credits_24 AS used, events_24 AS events,
        CASE ?5 / 6
            WHEN 0 THEN CASE ?5
                WHEN 0 THEN 0 WHEN 1 THEN credits_01 WHEN 2 THEN credits_02
                WHEN 3 THEN credits_03 WHEN 4 THEN credits_04 WHEN 5 THEN credits_05 END
            WHEN 1 THEN CASE ?5
                WHEN 6 THEN credits_06 WHEN 7 THEN credits_07 WHEN 8 THEN credits_08
                WHEN 9 THEN credits_09 WHEN 10 THEN credits_10 WHEN 11 THEN credits_11 END
            WHEN 2 THEN CASE ?5
                WHEN 12 THEN credits_12 WHEN 13 THEN credits_13 WHEN 14 THEN credits_14
                WHEN 15 THEN credits_15 WHEN 16 THEN credits_16 WHEN 17 THEN credits_17 END
            WHEN 3 THEN CASE ?5
                WHEN 18 THEN credits_18 WHEN 19 THEN credits_19 WHEN 20 THEN credits_20
                WHEN 21 THEN credits_21 WHEN 22 THEN credits_22 WHEN 23 THEN credits_23 END
        END AS used_before,
        CASE ?5 / 6
            WHEN 0 THEN CASE ?5
                WHEN 0 THEN 0 WHEN 1 THEN events_01 WHEN 2 THEN events_02
                WHEN 3 THEN events_03 WHEN 4 THEN events_04 WHEN 5 THEN events_05 END
            WHEN 1 THEN CASE ?5
                WHEN 6 THEN events_06 WHEN 7 THEN events_07 WHEN 8 THEN events_08
                WHEN 9 THEN events_09 WHEN 10 THEN events_10 WHEN 11 THEN events_11 END
            WHEN 2 THEN CASE ?5
                WHEN 12 THEN events_12 WHEN 13 THEN events_13 WHEN 14 THEN events_14
                WHEN 15 THEN events_15 WHEN 16 THEN events_16 WHEN 17 THEN events_17 END
            WHEN 3 THEN CASE ?5
                WHEN 18 THEN events_18 WHEN 19 THEN events_19 WHEN 20 THEN events_20
                WHEN 21 THEN events_21 WHEN 22 THEN events_22 WHEN 23 THEN events_23 END
        END AS events_before
    FROM usage_days
    WHERE organization_id = ?1 AND dimension = ?2 AND day >= ?3 AND day < ?4
    LIMIT -1
)
GROUP BY day, value, teamspace_id, meter, api_key_id

-- Usage of the quarters of an hour that start from ?3 up to, not including, ?4.

-- name: read_quarters_together
SELECT bucket, value, '', '', '', sum(credits), sum(events)
FROM usage_rollups
WHERE organization_id = ?1 AND dimension = ?2 AND bucket >= ?3 AND bucket < ?4
GROUP BY bucket, value

-- name: read_quarters_by_teamspace
SELECT bucket, value, teamspace_id, '', '', sum(credits), sum(events)
FROM usage_rollups
WHERE organization_id = ?1 AND dimension = ?2 AND bucket >= ?3 AND bucket < ?4
GROUP BY bucket, value, teamspace_id

-- name: read_quarters_by_any
SELECT bucket, value, iif(?5, teamspace_id, ''), iif(?6, meter, ''), iif(?7, api_key_id, ''), sum(credits), sum(events)
FROM usage_rollups
WHERE organization_id = ?1 AND dimension = ?2 AND bucket >= ?3 AND bucket < ?4
GROUP BY 1, 2, 3, 4, 5
