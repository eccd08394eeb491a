-- What a verifier reads: each table once, of one moment. What may be long ends with LIMIT: $2 (or $3)
-- is how much of it is wanted, and NULL means all.

-- name: begin_audit
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY

-- name: keep_before_cursors
SAVEPOINT before_cursors

-- name: drop_cursors
ROLLBACK TO SAVEPOINT before_cursors

-- name: audit_schema
SELECT version, name, checksum FROM schema_migrations ORDER BY version

-- name: audit_organizations
-- From one organization to the next in tables that are sorted by it: their rows are not walked.
WITH RECURSIVE named(organization_id) AS (
    SELECT min(organization_id) FROM (
        SELECT min(organization_id) AS organization_id FROM organizations
        UNION ALL SELECT min(organization_id) FROM accounts
        UNION ALL SELECT min(organization_id) FROM entries
        UNION ALL SELECT min(organization_id) FROM grants
        UNION ALL SELECT min(organization_id) FROM holds
        UNION ALL SELECT min(organization_id) FROM budgets
        UNION ALL SELECT min(organization_id) FROM periods
        UNION ALL SELECT min(organization_id) FROM milestones
        UNION ALL SELECT min(organization_id) FROM usage_events
        UNION ALL SELECT min(organization_id) FROM usage_rollups
        UNION ALL SELECT min(organization_id) FROM usage_days
        UNION ALL SELECT min(organization_id) FROM period_usage
    ) AS first
    UNION ALL
    SELECT (
        SELECT min(organization_id) FROM (
            SELECT min(o.organization_id) AS organization_id
            FROM organizations AS o WHERE o.organization_id > named.organization_id
            UNION ALL SELECT min(a.organization_id)
            FROM accounts AS a WHERE a.organization_id > named.organization_id
            UNION ALL SELECT min(e.organization_id)
            FROM entries AS e WHERE e.organization_id > named.organization_id
            UNION ALL SELECT min(g.organization_id)
            FROM grants AS g WHERE g.organization_id > named.organization_id
            UNION ALL SELECT min(h.organization_id)
            FROM holds AS h WHERE h.organization_id > named.organization_id
            UNION ALL SELECT min(b.organization_id)
            FROM budgets AS b WHERE b.organization_id > named.organization_id
            UNION ALL SELECT min(p.organization_id)
            FROM periods AS p WHERE p.organization_id > named.organization_id
            UNION ALL SELECT min(m.organization_id)
            FROM milestones AS m WHERE m.organization_id > named.organization_id
            UNION ALL SELECT min(v.organization_id)
            FROM usage_events AS v WHERE v.organization_id > named.organization_id
            UNION ALL SELECT min(d.organization_id)
            FROM usage_days AS d WHERE d.organization_id > named.organization_id
            UNION ALL SELECT min(r.organization_id)
            FROM usage_rollups AS r WHERE r.organization_id > named.organization_id
            UNION ALL SELECT min(u.organization_id)
            FROM period_usage AS u WHERE u.organization_id > named.organization_id
        ) AS following
    )
    FROM named
    WHERE named.organization_id IS NOT NULL
)
SELECT organization_id FROM named WHERE organization_id IS NOT NULL

-- name: audit_named
-- An id goes before an external one.
SELECT organization_id
FROM (
    SELECT organization_id, 1 AS place FROM organizations WHERE organization_id = $1
    UNION ALL
    SELECT organization_id, 2 FROM external_ids WHERE external_id = $1
) AS found
ORDER BY place
LIMIT 1

-- name: audit_total
SELECT coalesce(sum(sequence), 0)::bigint
FROM accounts
WHERE $1::text IS NULL OR organization_id = $1

-- name: audit_entries
SELECT
    organization_id, sequence, kind, credits, drawn, grant_id, event_id, hold_id, teamspace_id,
    api_key_id, meter, occurred_at, booked_at, remaining_after, consumed_after, overage_after,
    held_after, detail, content, hash
FROM entries
WHERE organization_id = $1
ORDER BY sequence
LIMIT $2

-- name: audit_events
SELECT organization_id, sequence, event_id
FROM usage_events
WHERE organization_id = $1
ORDER BY sequence, event_id
LIMIT $2

-- name: audit_prices
SELECT
    p.price_id, p.meter, p.dimensions, p.credits, p.per, p.rounding, p.effective_at, p.created_at,
    (SELECT min(e.ends_at) FROM price_ends AS e WHERE e.price_id = p.price_id)
FROM prices AS p

-- name: audit_account
SELECT
    organization_id, status, plan, next_plan, period_index, period_start, period_end,
    allowance_grant_id, remaining, consumed, overage, held, pending, sequence, head, advanced_to,
    next_due_at
FROM accounts
WHERE organization_id = $1

-- name: audit_grants
SELECT
    organization_id, grant_id, kind, amount, remaining, held, priority, effective_at, expires_at,
    status, issued, reference, created_at
FROM grants
WHERE organization_id = $1
ORDER BY grant_id
LIMIT $2

-- name: audit_holds
-- From $2 on.
SELECT
    organization_id, hold_id, credits, parts, captured, status, expires_at, placed, reference,
    teamspace_id, api_key_id, meter, dimensions, salt, digest, created_at
FROM holds
WHERE organization_id = $1 AND hold_id >= $2
ORDER BY hold_id
LIMIT $3

-- name: audit_count_holds
SELECT count(*) FROM holds WHERE organization_id = $1

-- name: audit_budgets
SELECT organization_id, subject_id, budget, used
FROM budgets
WHERE organization_id = $1
ORDER BY subject_id
LIMIT $2

-- name: audit_periods
SELECT
    organization_id, period_index, period_start, period_end, timezone, allowance, sequence
FROM periods
WHERE organization_id = $1
ORDER BY period_index
LIMIT $2

-- name: audit_milestones
SELECT organization_id, sequence, state
FROM milestones
WHERE organization_id = $1
ORDER BY sequence
LIMIT $2

-- name: audit_usage_rollups
SELECT dimension, bucket, value, teamspace_id, meter, api_key_id, credits, events
FROM usage_rollups
WHERE organization_id = $1
ORDER BY dimension, bucket, value, teamspace_id, meter, api_key_id
LIMIT $2

-- name: audit_usage_days
SELECT
    dimension, day, value, teamspace_id, meter, api_key_id,
    credits_01, events_01, credits_02, events_02, credits_03, events_03,
    credits_04, events_04, credits_05, events_05, credits_06, events_06,
    credits_07, events_07, credits_08, events_08, credits_09, events_09,
    credits_10, events_10, credits_11, events_11, credits_12, events_12,
    credits_13, events_13, credits_14, events_14, credits_15, events_15,
    credits_16, events_16, credits_17, events_17, credits_18, events_18,
    credits_19, events_19, credits_20, events_20, credits_21, events_21,
    credits_22, events_22, credits_23, events_23, credits_24, events_24
FROM usage_days
WHERE organization_id = $1
ORDER BY dimension, day, value, teamspace_id, meter, api_key_id
LIMIT $2

-- name: audit_period_usage
SELECT period_index, teamspace_id, meter, api_key_id, credits, events
FROM period_usage
WHERE organization_id = $1
ORDER BY period_index, teamspace_id, meter, api_key_id
LIMIT $2
