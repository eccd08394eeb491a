-- What a lane writes: each statement all rows of one kind, as arrays of their columns. Where a row
-- must be there, or must not be another's, the caller compares how many were written. LIMIT leaves
-- nothing out: see migrations/0002_load.sql.

-- name: write_usual
-- What nearly every batch writes, in one round trip. Answers how many accounts and grants it found.
WITH added_entries AS (
    INSERT INTO entries (
        organization_id, sequence, kind, credits, drawn, grant_id, event_id, hold_id, teamspace_id,
        api_key_id, meter, occurred_at, booked_at, remaining_after, consumed_after, overage_after,
        held_after, detail, content, hash
    )
    SELECT *
    FROM unnest(
        $1::text[], $2::bigint[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::text[],
        $8::text[], $9::text[], $10::text[], $11::text[], $12::bigint[], $13::bigint[],
        $14::bigint[], $15::bigint[], $16::bigint[], $17::bigint[], $18::text[], $19::bytea[],
        $20::bytea[]
    )
),
added_events AS (
    INSERT INTO usage_events (organization_id, event_id, sequence, overdraw)
    SELECT *
    FROM unnest(
        $21::text[], $22::text[], $23::bigint[], $24::boolean[]
    )
),
moved_accounts AS (
    UPDATE accounts AS a SET
        remaining = n.remaining,
        consumed = n.consumed,
        overage = n.overage,
        held = n.held,
        pending = n.pending,
        sequence = n.sequence,
        head = n.head,
        advanced_to = n.advanced_to,
        next_due_at = n.next_due_at
    FROM (
        SELECT *
        FROM unnest(
            $25::text[], $26::bigint[], $27::bigint[], $28::bigint[], $29::bigint[], $30::bigint[],
            $31::bigint[], $32::bytea[], $33::bigint[], $34::bigint[]
        )
        LIMIT cardinality($25)
    ) AS n (
        organization_id, remaining, consumed, overage, held, pending, sequence, head, advanced_to,
        next_due_at
    )
    WHERE a.organization_id = n.organization_id
    RETURNING a.organization_id
),
changed_grants AS (
    UPDATE grants AS g SET
        amount = n.amount,
        remaining = n.remaining,
        held = n.held,
        status = n.status
    FROM (
        SELECT *
        FROM unnest(
            $35::text[], $36::text[], $37::bigint[], $38::bigint[], $39::bigint[], $40::text[]
        )
        LIMIT cardinality($35)
    ) AS n (
        organization_id, grant_id, amount, remaining, held, status
    )
    WHERE g.organization_id = n.organization_id AND g.grant_id = n.grant_id
    RETURNING g.grant_id
),
added_to_periods AS (
    INSERT INTO period_usage AS p (
        organization_id, period_index, teamspace_id, meter, api_key_id, credits, events
    )
    SELECT *
    FROM unnest(
        $41::text[], $42::bigint[], $43::text[], $44::text[], $45::text[], $46::bigint[],
        $47::bigint[]
    )
    ON CONFLICT (organization_id, period_index, teamspace_id, meter, api_key_id) DO UPDATE SET
        credits = p.credits + excluded.credits,
        events = p.events + excluded.events
),
usage AS (
    SELECT *
    FROM unnest(
        $48::text[], $49::bigint[], $50::text[], $51::text[], $52::text[], $53::text[], $54::text[],
        $55::bigint[], $56::bigint[]
    ) AS n (
        organization_id, bucket, teamspace_id, meter, api_key_id, dimension, value, credits, events
    )
),
added_to_rollups AS (
    INSERT INTO usage_rollups AS r (
        organization_id, bucket, teamspace_id, meter, api_key_id, dimension, value, credits, events
    )
    SELECT * FROM usage
    ON CONFLICT (organization_id, dimension, bucket, value, teamspace_id, meter, api_key_id)
    DO UPDATE SET
        credits = r.credits + excluded.credits,
        events = r.events + excluded.events
),
-- A day's row says how much there was before each hour of it.
usage_by_days AS (
    SELECT
        *,
        bucket - mod(mod(bucket, 86400000000) + 86400000000, 86400000000) AS day,
        mod(mod(bucket, 86400000000) + 86400000000, 86400000000) / 3600000000 AS hour
    FROM usage
),
added_to_days AS (
    INSERT INTO usage_days AS d (
        organization_id, day, teamspace_id, meter, api_key_id, dimension, value,
        credits_01, events_01, credits_02, events_02, credits_03, events_03, credits_04, events_04,
        credits_05, events_05, credits_06, events_06, credits_07, events_07, credits_08, events_08,
        credits_09, events_09, credits_10, events_10, credits_11, events_11, credits_12, events_12,
        credits_13, events_13, credits_14, events_14, credits_15, events_15, credits_16, events_16,
        credits_17, events_17, credits_18, events_18, credits_19, events_19, credits_20, events_20,
        credits_21, events_21, credits_22, events_22, credits_23, events_23, credits_24, events_24
    )
    SELECT
        organization_id, day, teamspace_id, meter, api_key_id, dimension, value,
        sum((hour < 1)::int * credits), sum((hour < 1)::int * events), sum((hour < 2)::int *
        credits), sum((hour < 2)::int * events), sum((hour < 3)::int * credits), sum((hour < 3)::int
        * events), sum((hour < 4)::int * credits), sum((hour < 4)::int * events), sum((hour <
        5)::int * credits), sum((hour < 5)::int * events), sum((hour < 6)::int * credits), sum((hour
        < 6)::int * events), sum((hour < 7)::int * credits), sum((hour < 7)::int * events),
        sum((hour < 8)::int * credits), sum((hour < 8)::int * events), sum((hour < 9)::int *
        credits), sum((hour < 9)::int * events), sum((hour < 10)::int * credits), sum((hour <
        10)::int * events), sum((hour < 11)::int * credits), sum((hour < 11)::int * events),
        sum((hour < 12)::int * credits), sum((hour < 12)::int * events), sum((hour < 13)::int *
        credits), sum((hour < 13)::int * events), sum((hour < 14)::int * credits), sum((hour <
        14)::int * events), sum((hour < 15)::int * credits), sum((hour < 15)::int * events),
        sum((hour < 16)::int * credits), sum((hour < 16)::int * events), sum((hour < 17)::int *
        credits), sum((hour < 17)::int * events), sum((hour < 18)::int * credits), sum((hour <
        18)::int * events), sum((hour < 19)::int * credits), sum((hour < 19)::int * events),
        sum((hour < 20)::int * credits), sum((hour < 20)::int * events), sum((hour < 21)::int *
        credits), sum((hour < 21)::int * events), sum((hour < 22)::int * credits), sum((hour <
        22)::int * events), sum((hour < 23)::int * credits), sum((hour < 23)::int * events),
        sum((hour < 24)::int * credits), sum((hour < 24)::int * events)
    FROM usage_by_days
    GROUP BY organization_id, day, teamspace_id, meter, api_key_id, dimension, value
    ON CONFLICT (organization_id, dimension, day, value, teamspace_id, meter, api_key_id)
    DO UPDATE SET
        credits_01 = d.credits_01 + excluded.credits_01,
        events_01 = d.events_01 + excluded.events_01,
        credits_02 = d.credits_02 + excluded.credits_02,
        events_02 = d.events_02 + excluded.events_02,
        credits_03 = d.credits_03 + excluded.credits_03,
        events_03 = d.events_03 + excluded.events_03,
        credits_04 = d.credits_04 + excluded.credits_04,
        events_04 = d.events_04 + excluded.events_04,
        credits_05 = d.credits_05 + excluded.credits_05,
        events_05 = d.events_05 + excluded.events_05,
        credits_06 = d.credits_06 + excluded.credits_06,
        events_06 = d.events_06 + excluded.events_06,
        credits_07 = d.credits_07 + excluded.credits_07,
        events_07 = d.events_07 + excluded.events_07,
        credits_08 = d.credits_08 + excluded.credits_08,
        events_08 = d.events_08 + excluded.events_08,
        credits_09 = d.credits_09 + excluded.credits_09,
        events_09 = d.events_09 + excluded.events_09,
        credits_10 = d.credits_10 + excluded.credits_10,
        events_10 = d.events_10 + excluded.events_10,
        credits_11 = d.credits_11 + excluded.credits_11,
        events_11 = d.events_11 + excluded.events_11,
        credits_12 = d.credits_12 + excluded.credits_12,
        events_12 = d.events_12 + excluded.events_12,
        credits_13 = d.credits_13 + excluded.credits_13,
        events_13 = d.events_13 + excluded.events_13,
        credits_14 = d.credits_14 + excluded.credits_14,
        events_14 = d.events_14 + excluded.events_14,
        credits_15 = d.credits_15 + excluded.credits_15,
        events_15 = d.events_15 + excluded.events_15,
        credits_16 = d.credits_16 + excluded.credits_16,
        events_16 = d.events_16 + excluded.events_16,
        credits_17 = d.credits_17 + excluded.credits_17,
        events_17 = d.events_17 + excluded.events_17,
        credits_18 = d.credits_18 + excluded.credits_18,
        events_18 = d.events_18 + excluded.events_18,
        credits_19 = d.credits_19 + excluded.credits_19,
        events_19 = d.events_19 + excluded.events_19,
        credits_20 = d.credits_20 + excluded.credits_20,
        events_20 = d.events_20 + excluded.events_20,
        credits_21 = d.credits_21 + excluded.credits_21,
        events_21 = d.events_21 + excluded.events_21,
        credits_22 = d.credits_22 + excluded.credits_22,
        events_22 = d.events_22 + excluded.events_22,
        credits_23 = d.credits_23 + excluded.credits_23,
        events_23 = d.events_23 + excluded.events_23,
        credits_24 = d.credits_24 + excluded.credits_24,
        events_24 = d.events_24 + excluded.events_24
)
SELECT
    (SELECT count(*) FROM moved_accounts) AS accounts,
    (SELECT count(*) FROM changed_grants) AS grants

-- name: add_account
INSERT INTO accounts (
    organization_id, status, plan, next_plan, period_index, period_start, period_end,
    allowance_grant_id, remaining, consumed, overage, held, pending, sequence, head, advanced_to,
    next_due_at
)
SELECT *
FROM unnest(
    $1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[],
    $8::text[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[],
    $14::bigint[], $15::bytea[], $16::bigint[], $17::bigint[]
)

-- name: change_account
UPDATE accounts AS t SET
    status = n.status,
    plan = n.plan,
    next_plan = n.next_plan,
    period_index = n.period_index,
    period_start = n.period_start,
    period_end = n.period_end,
    allowance_grant_id = n.allowance_grant_id,
    remaining = n.remaining,
    consumed = n.consumed,
    overage = n.overage,
    held = n.held,
    pending = n.pending,
    sequence = n.sequence,
    head = n.head,
    advanced_to = n.advanced_to,
    next_due_at = n.next_due_at
FROM (
    SELECT *
    FROM unnest(
        $1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[],
        $8::text[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[],
        $14::bigint[], $15::bytea[], $16::bigint[], $17::bigint[]
    )
    LIMIT cardinality($1)
) AS n (
    organization_id, status, plan, next_plan, period_index, period_start, period_end,
    allowance_grant_id, remaining, consumed, overage, held, pending, sequence, head, advanced_to,
    next_due_at
)
WHERE t.organization_id = n.organization_id

-- name: add_grant
INSERT INTO grants (
    organization_id, grant_id, kind, amount, remaining, held, priority, effective_at, expires_at,
    status, issued, reference, created_at
)
SELECT *
FROM unnest(
    $1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],
    $8::bigint[], $9::bigint[], $10::text[], $11::bigint[], $12::text[], $13::bigint[]
)

-- name: put_period
INSERT INTO periods (
    organization_id, period_index, period_start, period_end, timezone, allowance, sequence
)
SELECT *
FROM unnest(
    $1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::text[], $6::bigint[], $7::bigint[]
)
ON CONFLICT (organization_id, period_index) DO UPDATE SET
    period_start = excluded.period_start,
    period_end = excluded.period_end,
    timezone = excluded.timezone,
    allowance = excluded.allowance,
    sequence = excluded.sequence

-- name: add_milestone
INSERT INTO milestones (
    organization_id, sequence, state
)
SELECT *
FROM unnest(
    $1::text[], $2::bigint[], $3::text[]
)

-- name: add_hold
INSERT INTO holds (
    organization_id, hold_id, credits, parts, captured, status, expires_at, placed, reference,
    teamspace_id, api_key_id, meter, dimensions, salt, digest, created_at
)
SELECT *
FROM unnest(
    $1::text[], $2::text[], $3::bigint[], $4::text[], $5::bigint[], $6::text[], $7::bigint[],
    $8::bigint[], $9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::bytea[],
    $15::bytea[], $16::bigint[]
)

-- name: change_hold
UPDATE holds AS t SET
    parts = n.parts,
    captured = n.captured,
    status = n.status,
    expires_at = n.expires_at
FROM (
    SELECT *
    FROM unnest(
        $1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::bigint[]
    )
    LIMIT cardinality($1)
) AS n (
    organization_id, hold_id, parts, captured, status, expires_at
)
WHERE t.organization_id = n.organization_id AND t.hold_id = n.hold_id

-- name: put_budget
INSERT INTO budgets (
    organization_id, subject_id, budget, used
)
SELECT *
FROM unnest(
    $1::text[], $2::text[], $3::bigint[], $4::bigint[]
)
ON CONFLICT (organization_id, subject_id) DO UPDATE SET
    budget = excluded.budget,
    used = excluded.used

-- name: drop_budget
DELETE FROM budgets AS t
USING (
    SELECT *
    FROM unnest(
        $1::text[], $2::text[]
    )
    LIMIT cardinality($1)
) AS n (organization_id, subject_id)
WHERE t.organization_id = n.organization_id AND t.subject_id = n.subject_id

-- name: add_dimensions
INSERT INTO event_dimensions (
    organization_id, sequence, dimensions, salt, digest, counted, erased_at
)
SELECT *
FROM unnest(
    $1::text[], $2::bigint[], $3::text[], $4::bytea[], $5::bytea[], $6::text[], $7::bigint[]
)

-- name: erase_dimensions
UPDATE event_dimensions AS t SET dimensions = NULL, salt = NULL, erased_at = n.erased_at
FROM (
    SELECT *
    FROM unnest(
        $1::text[], $2::bigint[], $3::bigint[]
    )
    LIMIT cardinality($1)
) AS n (organization_id, sequence, erased_at)
WHERE t.organization_id = n.organization_id AND t.sequence = n.sequence

-- name: erase_hold
UPDATE holds AS t SET dimensions = NULL, salt = NULL
FROM (
    SELECT *
    FROM unnest(
        $1::text[], $2::text[]
    )
    LIMIT cardinality($1)
) AS n (organization_id, hold_id)
WHERE t.organization_id = n.organization_id AND t.hold_id = n.hold_id

-- name: drop_empty_rollup
-- What nothing is counted under any more says a value that has been erased.
DELETE FROM usage_rollups AS t
USING (
    SELECT *
    FROM unnest(
        $1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[]
    )
    LIMIT cardinality($1)
) AS n (organization_id, bucket, teamspace_id, meter, api_key_id, dimension, value)
WHERE
    t.organization_id = n.organization_id AND t.dimension = n.dimension AND t.bucket = n.bucket
    AND t.value = n.value AND t.teamspace_id = n.teamspace_id AND t.meter = n.meter
    AND t.api_key_id = n.api_key_id AND t.events = 0

-- name: drop_empty_day
DELETE FROM usage_days AS t
USING (
    SELECT *
    FROM unnest(
        $1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[]
    )
    LIMIT cardinality($1)
) AS n (organization_id, day, teamspace_id, meter, api_key_id, dimension, value)
WHERE
    t.organization_id = n.organization_id AND t.dimension = n.dimension AND t.day = n.day
    AND t.value = n.value AND t.teamspace_id = n.teamspace_id AND t.meter = n.meter
    AND t.api_key_id = n.api_key_id AND t.events_24 = 0
