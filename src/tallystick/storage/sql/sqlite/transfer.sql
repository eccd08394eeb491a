-- What a transfer reads: of each table the rows of one organization, in the order of its key.
-- Columns are those of PostgreSQL's table of the same name.

-- name: copy_organizations
SELECT
    organization_id, name, external_id, default_teamspace_id, rate_limits, content, created_at,
    usage_dimensions
FROM organizations
WHERE organization_id = ?1

-- name: copy_external_ids
-- There it is a table of its own.
SELECT external_id, organization_id
FROM organizations
WHERE organization_id = ?1 AND external_id IS NOT NULL

-- name: copy_teamspaces
SELECT organization_id, teamspace_id, name, access, cloud_provider, rate_limits, created_at
FROM teamspaces
WHERE organization_id = ?1
ORDER BY teamspace_id

-- name: copy_api_keys
SELECT
    organization_id, key_id, teamspace_id, name, level, scopes, imported, created_at, expires_at,
    revoked_at, last_used_at
FROM api_keys
WHERE organization_id = ?1
ORDER BY key_id

-- name: copy_key_directory
SELECT hash, organization_id, key_id, expires_at
FROM key_directory
WHERE organization_id = ?1
ORDER BY hash

-- name: copy_accounts
SELECT
    organization_id, status, plan, next_plan, period_index, period_start, period_end,
    allowance_grant_id, remaining, consumed, overage, held, pending, sequence, head, advanced_to,
    next_due_at
FROM accounts
WHERE organization_id = ?1

-- name: copy_grants
SELECT
    organization_id, grant_id, kind, amount, remaining, held, priority, effective_at, expires_at,
    status, issued, reference, created_at
FROM grants
WHERE organization_id = ?1
ORDER BY grant_id

-- name: copy_holds
SELECT
    organization_id, hold_id, credits, parts, captured, status, expires_at, placed, reference,
    teamspace_id, api_key_id, meter, dimensions, salt, digest, created_at
FROM holds
WHERE organization_id = ?1
ORDER BY hold_id

-- name: copy_budgets
SELECT organization_id, subject_id, budget, used
FROM budgets
WHERE organization_id = ?1
ORDER BY subject_id

-- name: copy_entries
SELECT
    organization_id, sequence, kind, credits, drawn, grant_id, event_id, hold_id, teamspace_id,
    api_key_id, meter, occurred_at, booked_at, remaining_after, consumed_after, overage_after,
    held_after, detail, content, hash
FROM entries
WHERE organization_id = ?1
ORDER BY sequence

-- name: copy_usage_events
-- All organizations' at once: here the index begins with the event, so it is sorted, once.
SELECT event_id, organization_id, sequence, overdraw
FROM usage_events
ORDER BY organization_id, event_id

-- name: copy_event_dimensions
SELECT organization_id, sequence, dimensions, salt, digest, counted, erased_at
FROM event_dimensions
WHERE organization_id = ?1
ORDER BY sequence

-- name: copy_milestones
SELECT organization_id, sequence, state
FROM milestones
WHERE organization_id = ?1
ORDER BY sequence

-- name: copy_periods
SELECT
    organization_id, period_index, period_start, period_end, timezone, allowance, sequence
FROM periods
WHERE organization_id = ?1
ORDER BY period_index

-- name: copy_period_usage
SELECT organization_id, period_index, teamspace_id, meter, api_key_id, credits, events
FROM period_usage
WHERE organization_id = ?1
ORDER BY period_index, teamspace_id, meter, api_key_id

-- name: copy_usage_rollups
SELECT
    organization_id, dimension, bucket, value, teamspace_id, meter, api_key_id, credits, events
FROM usage_rollups
WHERE organization_id = ?1
ORDER BY dimension, bucket, value, teamspace_id, meter, api_key_id

-- name: copy_usage_days
SELECT
    organization_id, dimension, day, value, teamspace_id, meter, api_key_id, credits_01, events_01,
    credits_02, events_02, credits_03, events_03, credits_04, events_04, credits_05, events_05,
    credits_06, events_06, credits_07, events_07, credits_08, events_08, credits_09, events_09,
    credits_10, events_10, credits_11, events_11, credits_12, events_12, credits_13, events_13,
    credits_14, events_14, credits_15, events_15, credits_16, events_16, credits_17, events_17,
    credits_18, events_18, credits_19, events_19, credits_20, events_20, credits_21, events_21,
    credits_22, events_22, credits_23, events_23, credits_24, events_24
FROM usage_days
WHERE organization_id = ?1
ORDER BY dimension, day, value, teamspace_id, meter, api_key_id

-- name: copy_replays
-- All organizations' at once, too.
SELECT
    api_key_id, operation, idempotency_key, organization_id, request_digest, status, body,
    created_at
FROM replays
ORDER BY organization_id, api_key_id, operation, idempotency_key

-- name: copy_refused_requests
SELECT
    organization_id, number, request_id, at, operation, method, path, status, code, details,
    teamspace_id, api_key_id, event_ids, rejected
FROM refused_requests
WHERE organization_id = ?1
ORDER BY number

-- name: copy_prices
-- In the order in which they are to be numbered there.
SELECT
    price_id, meter, dimensions, credits, per, rounding, effective_at, created_at
FROM prices
ORDER BY number

-- name: copy_price_ends
SELECT price_id, ends_at, created_at
FROM price_ends
ORDER BY number
