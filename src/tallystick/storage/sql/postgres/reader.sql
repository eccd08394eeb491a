-- What a reader asks beside lists and entries.
--
-- One statement sees one moment. What belongs together is therefore asked for at once: rows of other
-- tables come as arrays, each row in the order of its columns.

-- name: begin_reading
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY

-- name: end_reading
COMMIT

-- name: ping
SELECT 1 FROM schema_migrations LIMIT 1

-- name: clock
SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint

-- name: read_balances
-- Of each organization of $1, and the database's clock: at least a row that says that. LATERAL with a
-- LIMIT is looked up organization by organization, in that one's partition, whatever the planner
-- knows of the table.
WITH clock AS MATERIALIZED (
    SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now
)
SELECT
    wanted.organization_id, clock.now,
    a.remaining, a.consumed, a.overage, a.next_due_at
FROM clock
CROSS JOIN unnest($1::text[]) AS wanted (organization_id)
LEFT JOIN LATERAL (
    SELECT remaining, consumed, overage, next_due_at
    FROM accounts
    WHERE organization_id = wanted.organization_id
    LIMIT 1
) AS a ON true

-- name: read_credentials
-- Of each digest of $1 that there is.
SELECT found.*
FROM unnest($1::bytea[]) AS wanted (hash)
CROSS JOIN LATERAL (
    SELECT
        d.hash, d.organization_id, d.key_id, d.expires_at,
        k.key_id, k.organization_id, k.teamspace_id, k.name, k.level, k.scopes, k.imported,
        k.created_at, k.expires_at, k.revoked_at, k.last_used_at,
        o.organization_id, o.name, o.external_id, o.default_teamspace_id, o.rate_limits, o.content,
        o.created_at, o.usage_dimensions,
        t.organization_id, t.teamspace_id, t.name, t.access, t.cloud_provider, t.rate_limits,
        t.created_at
    FROM key_directory AS d
    JOIN api_keys AS k ON k.organization_id = d.organization_id AND k.key_id = d.key_id
    LEFT JOIN organizations AS o ON o.organization_id = k.organization_id
    LEFT JOIN teamspaces AS t
        ON t.organization_id = k.organization_id AND t.teamspace_id = k.teamspace_id
    WHERE d.hash = wanted.hash
    LIMIT 1
) AS found

-- name: read_account
-- With its grants that still matter (those that may be drawn from, those of which something is held,
-- and the allowance's), its budgets and its open holds.
SELECT
    a.organization_id, a.status, a.plan, a.next_plan, a.period_index, a.period_start,
    a.period_end, a.allowance_grant_id, a.remaining, a.consumed, a.overage, a.held, a.pending,
    a.sequence, a.head, a.advanced_to, a.next_due_at,
    ARRAY(
        SELECT
            ROW(
                g.organization_id, g.grant_id, g.kind, g.amount, g.remaining, g.held, g.priority,
                g.effective_at, g.expires_at, g.status, g.issued, g.reference, g.created_at
            )
        FROM grants AS g
        WHERE
            g.organization_id = $1 AND (g.status IN ('pending', 'active') OR g.held > 0)
        UNION ALL
        SELECT
            ROW(
                g.organization_id, g.grant_id, g.kind, g.amount, g.remaining, g.held, g.priority,
                g.effective_at, g.expires_at, g.status, g.issued, g.reference, g.created_at
            )
        FROM grants AS g
        WHERE
            g.organization_id = $1 AND g.grant_id = a.allowance_grant_id
            AND g.status NOT IN ('pending', 'active') AND g.held = 0
    ),
    ARRAY(
        SELECT ROW(b.organization_id, b.subject_id, b.budget, b.used)
        FROM budgets AS b
        WHERE b.organization_id = $1
    ),
    ARRAY(
        SELECT
            ROW(
                h.organization_id, h.hold_id, h.credits, h.parts, h.captured, h.status,
                h.expires_at, h.placed, h.reference, h.teamspace_id, h.api_key_id, h.meter,
                h.dimensions, h.salt, h.digest, h.created_at
            )
        FROM holds AS h
        WHERE h.organization_id = $1 AND h.status = 'open'
    )
FROM accounts AS a
WHERE a.organization_id = $1

-- name: read_organization
SELECT
    organization_id, name, external_id, default_teamspace_id, rate_limits, content, created_at,
    usage_dimensions
FROM organizations
WHERE organization_id = $1

-- name: read_external_id
SELECT organization_id FROM external_ids WHERE external_id = $1

-- name: read_teamspace
SELECT
    organization_id, teamspace_id, name, access, cloud_provider, rate_limits, created_at
FROM teamspaces
WHERE organization_id = $1 AND teamspace_id = $2

-- name: read_key
SELECT
    key_id, organization_id, teamspace_id, name, level, scopes, imported, created_at, expires_at,
    revoked_at, last_used_at
FROM api_keys
WHERE organization_id = $1 AND key_id = $2

-- name: read_hold
SELECT
    organization_id, hold_id, credits, parts, captured, status, expires_at, placed, reference,
    teamspace_id, api_key_id, meter, dimensions, salt, digest, created_at
FROM holds
WHERE organization_id = $1 AND hold_id = $2

-- name: read_grants
SELECT
    organization_id, grant_id, kind, amount, remaining, held, priority, effective_at, expires_at,
    status, issued, reference, created_at
FROM grants
WHERE organization_id = $1 AND grant_id = ANY($2::text[])

-- name: read_periods
SELECT
    organization_id, period_index, period_start, period_end, timezone, allowance, sequence
FROM periods
WHERE organization_id = $1
ORDER BY period_index

-- name: read_period
-- And the first sequence of the period after it, where that has started.
SELECT
    p.organization_id, p.period_index, p.period_start, p.period_end, p.timezone, p.allowance,
    p.sequence, following.sequence
FROM periods AS p
LEFT JOIN periods AS following
    ON following.organization_id = p.organization_id
    AND following.period_index = p.period_index + 1
WHERE p.organization_id = $1 AND p.period_index = $2

-- name: entries_that_move
-- Of the kinds $2, after $3 and before $4; of holds and reversals only those whose lapsed parts, or
-- whose usage of an earlier period, count for a statement. Kind by kind, as the index has them.
SELECT e.*
FROM unnest($2::text[]) AS moving (kind)
CROSS JOIN LATERAL (
    SELECT
        organization_id, sequence, kind, credits, drawn, grant_id, event_id, hold_id,
        teamspace_id, api_key_id, meter, occurred_at, booked_at, remaining_after, consumed_after,
        overage_after, held_after, detail, content
    FROM entries
    WHERE
        organization_id = $1 AND kind = moving.kind AND kind <> 'usage.booked'
        AND sequence > $3 AND sequence < $4
        AND (
            kind NOT IN ('usage.reversed', 'hold.released', 'hold.expired')
            OR json_array_length(detail::json -> 'lapsed') > 0
            OR detail::json ->> 'in_period' = 'false'
        )
) AS e
ORDER BY e.sequence

-- name: grants_voided_at
SELECT grant_id, min(sequence)
FROM entries
WHERE
    organization_id = $1 AND grant_id = ANY($2::text[])
    AND kind = 'grant.voided' AND detail::json ->> 'final' = 'true'
GROUP BY grant_id

-- name: usage_of_period
SELECT meter, teamspace_id, sum(credits)::bigint, sum(events)::bigint
FROM period_usage
WHERE organization_id = $1 AND period_index = $2
GROUP BY meter, teamspace_id
ORDER BY meter, teamspace_id

-- name: read_consumed_between
SELECT coalesce(sum(credits), 0)::bigint
FROM usage_rollups
WHERE organization_id = $1 AND dimension = '' AND bucket >= $2 AND bucket < $3

-- name: read_first_usage
SELECT min(bucket)
FROM usage_rollups
WHERE organization_id = $1 AND dimension = '' AND bucket >= $2

-- name: read_due
SELECT organization_id FROM accounts WHERE next_due_at <= $1 ORDER BY next_due_at LIMIT $2
