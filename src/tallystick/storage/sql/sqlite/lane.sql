-- What a lane says: loads for a batch, then writes of its changes.
-- Loads run once for each thing wanted, with the statement prepared once.

-- name: begin
BEGIN IMMEDIATE

-- name: commit
COMMIT

-- name: rollback
ROLLBACK

-- name: data_version
-- Changes when another connection has committed.
PRAGMA data_version

-- name: load_account
SELECT
    organization_id, status, plan, next_plan, period_index, period_start, period_end,
    allowance_grant_id, remaining, consumed, overage, held, pending, sequence, head, advanced_to,
    next_due_at
FROM accounts
WHERE organization_id = ?1

-- name: load_live_grants
-- Those that may still be drawn from, those of which something is held, and the allowance's, which
-- a change of plan looks at.
SELECT
    organization_id, grant_id, kind, amount, remaining, held, priority, effective_at, expires_at,
    status, issued, reference, created_at
FROM grants INDEXED BY grants_live
WHERE organization_id = ?1 AND (status IN ('pending', 'active') OR held > 0)
UNION ALL
SELECT
    g.organization_id, g.grant_id, g.kind, g.amount, g.remaining, g.held, g.priority,
    g.effective_at, g.expires_at, g.status, g.issued, g.reference, g.created_at
FROM accounts AS a
JOIN grants AS g ON g.organization_id = a.organization_id AND g.grant_id = a.allowance_grant_id
WHERE a.organization_id = ?1 AND g.status NOT IN ('pending', 'active') AND g.held = 0

-- name: load_open_holds
SELECT
    organization_id, hold_id, credits, parts, captured, status, expires_at, placed, reference,
    teamspace_id, api_key_id, meter, dimensions, salt, digest, created_at
FROM holds INDEXED BY holds_by_status
WHERE organization_id = ?1 AND status = 'open'

-- name: load_budgets
SELECT organization_id, subject_id, budget, used FROM budgets WHERE organization_id = ?1

-- name: load_hold
SELECT
    organization_id, hold_id, credits, parts, captured, status, expires_at, placed, reference,
    teamspace_id, api_key_id, meter, dimensions, salt, digest, created_at
FROM holds
WHERE organization_id = ?1 AND hold_id = ?2

-- name: load_hold_by_reference
SELECT
    organization_id, hold_id, credits, parts, captured, status, expires_at, placed, reference,
    teamspace_id, api_key_id, meter, dimensions, salt, digest, created_at
FROM holds
WHERE organization_id = ?1 AND reference = ?2

-- name: load_reversals
SELECT
    organization_id, sequence, kind, credits, drawn, grant_id, event_id, hold_id, teamspace_id,
    api_key_id, meter, occurred_at, booked_at, remaining_after, consumed_after, overage_after,
    held_after, detail, content
FROM entries INDEXED BY entries_by_reversal
WHERE organization_id = ?1 AND event_id = ?2 AND kind = 'usage.reversed'
ORDER BY sequence

-- name: load_spent_by
SELECT a.organization_id, ?2, a.period_index, coalesce(sum(u.credits), 0)
FROM accounts AS a
LEFT JOIN period_usage AS u
    ON u.organization_id = a.organization_id AND u.period_index = a.period_index
    AND (u.teamspace_id = ?2 OR u.api_key_id = ?2)
WHERE a.organization_id = ?1
GROUP BY a.organization_id

-- name: load_organization
SELECT
    organization_id, name, external_id, default_teamspace_id, rate_limits, content, created_at,
    usage_dimensions
FROM organizations
WHERE organization_id = ?1

-- name: load_external_id
SELECT external_id, organization_id FROM organizations WHERE external_id = ?1

-- name: load_events
-- ?2 is an array of event ids; CROSS JOIN keeps SQLite from starting with the tables.
SELECT
    e.organization_id, e.sequence, e.kind, e.credits, e.drawn, e.grant_id, e.event_id, e.hold_id,
    e.teamspace_id, e.api_key_id, e.meter, e.occurred_at, e.booked_at, e.remaining_after,
    e.consumed_after, e.overage_after, e.held_after, e.detail, e.content,
    d.dimensions, d.salt, d.digest, d.counted, d.erased_at
FROM carray(?2) AS wanted
CROSS JOIN usage_events AS u ON u.event_id = wanted.value AND u.organization_id = ?1
CROSS JOIN entries AS e ON e.organization_id = u.organization_id AND e.sequence = u.sequence
LEFT JOIN event_dimensions AS d
    ON d.organization_id = u.organization_id AND d.sequence = u.sequence

-- name: load_grant
SELECT
    organization_id, grant_id, kind, amount, remaining, held, priority, effective_at, expires_at,
    status, issued, reference, created_at
FROM grants
WHERE organization_id = ?1 AND grant_id = ?2

-- name: load_grant_by_reference
SELECT
    organization_id, grant_id, kind, amount, remaining, held, priority, effective_at, expires_at,
    status, issued, reference, created_at
FROM grants
WHERE organization_id = ?1 AND reference = ?2

-- name: load_entry
SELECT
    organization_id, sequence, kind, credits, drawn, grant_id, event_id, hold_id, teamspace_id,
    api_key_id, meter, occurred_at, booked_at, remaining_after, consumed_after, overage_after,
    held_after, detail, content
FROM entries
WHERE organization_id = ?1 AND sequence = ?2

-- name: load_teamspace
SELECT
    organization_id, teamspace_id, name, access, cloud_provider, rate_limits, created_at
FROM teamspaces
WHERE organization_id = ?1 AND teamspace_id = ?2

-- name: load_key
SELECT
    key_id, organization_id, teamspace_id, name, level, scopes, imported, created_at, expires_at,
    revoked_at, last_used_at
FROM api_keys
WHERE organization_id = ?1 AND key_id = ?2

-- name: load_secrets_of
SELECT hash, organization_id, key_id, expires_at
FROM key_directory
WHERE organization_id = ?1 AND key_id = ?2

-- name: load_secret
SELECT hash, organization_id, key_id, expires_at FROM key_directory WHERE hash = ?1

-- name: load_replay
SELECT
    organization_id, api_key_id, operation, idempotency_key, request_digest, status, body,
    created_at
FROM replays
WHERE organization_id = ?1 AND api_key_id = ?2 AND operation = ?3 AND idempotency_key = ?4

-- name: put_organization
INSERT INTO organizations (
    organization_id, name, external_id, default_teamspace_id, rate_limits, content, created_at,
    usage_dimensions
)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
ON CONFLICT (organization_id) DO UPDATE SET
    name = excluded.name,
    external_id = excluded.external_id,
    default_teamspace_id = excluded.default_teamspace_id,
    rate_limits = excluded.rate_limits,
    content = excluded.content,
    created_at = excluded.created_at,
    usage_dimensions = excluded.usage_dimensions

-- name: put_teamspace
INSERT INTO teamspaces (
    organization_id, teamspace_id, name, access, cloud_provider, rate_limits, created_at
)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
ON CONFLICT (organization_id, teamspace_id) DO UPDATE SET
    name = excluded.name,
    access = excluded.access,
    cloud_provider = excluded.cloud_provider,
    rate_limits = excluded.rate_limits,
    created_at = excluded.created_at

-- name: put_key
INSERT INTO api_keys (
    key_id, organization_id, teamspace_id, name, level, scopes, imported, created_at, expires_at,
    revoked_at, last_used_at
)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
ON CONFLICT (organization_id, key_id) DO UPDATE SET
    teamspace_id = excluded.teamspace_id,
    name = excluded.name,
    level = excluded.level,
    scopes = excluded.scopes,
    imported = excluded.imported,
    created_at = excluded.created_at,
    expires_at = excluded.expires_at,
    revoked_at = excluded.revoked_at,
    last_used_at = excluded.last_used_at

-- name: put_secret
INSERT INTO key_directory (hash, organization_id, key_id, expires_at)
VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (hash) DO UPDATE SET
    organization_id = excluded.organization_id,
    key_id = excluded.key_id,
    expires_at = excluded.expires_at

-- name: drop_secret
DELETE FROM key_directory WHERE hash = ?1

-- name: add_account
INSERT INTO accounts (
    organization_id, status, plan, next_plan, period_index, period_start, period_end,
    allowance_grant_id, remaining, consumed, overage, held, pending, sequence, head, advanced_to,
    next_due_at
)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)

-- name: change_account
-- Without next_due_at: an index stands on it, which would be written each time it is named here.
UPDATE accounts SET
    status = ?2,
    plan = ?3,
    next_plan = ?4,
    period_index = ?5,
    period_start = ?6,
    period_end = ?7,
    allowance_grant_id = ?8,
    remaining = ?9,
    consumed = ?10,
    overage = ?11,
    held = ?12,
    pending = ?13,
    sequence = ?14,
    head = ?15,
    advanced_to = ?16
WHERE organization_id = ?1

-- name: move_account
UPDATE accounts SET
    remaining = ?2,
    consumed = ?3,
    overage = ?4,
    held = ?5,
    pending = ?6,
    sequence = ?7,
    head = ?8,
    advanced_to = ?9
WHERE organization_id = ?1

-- name: set_next_due
UPDATE accounts SET next_due_at = ?2 WHERE organization_id = ?1 AND next_due_at <> ?2

-- name: add_grant
INSERT INTO grants (
    organization_id, grant_id, kind, amount, remaining, held, priority, effective_at, expires_at,
    status, issued, reference, created_at
)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)

-- name: change_grant
-- The rest never changes, but for the status, on which the index of live grants depends.
UPDATE grants SET amount = ?3, remaining = ?4, held = ?5
WHERE organization_id = ?1 AND grant_id = ?2

-- name: set_grant_status
UPDATE grants SET status = ?3 WHERE organization_id = ?1 AND grant_id = ?2 AND status <> ?3

-- name: add_entry
INSERT INTO entries (
    organization_id, sequence, kind, credits, drawn, grant_id, event_id, hold_id, teamspace_id,
    api_key_id, meter, occurred_at, booked_at, remaining_after, consumed_after, overage_after,
    held_after, detail, content, hash
)
VALUES (
    ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20
)

-- name: add_usage_event
INSERT INTO usage_events (organization_id, event_id, sequence, overdraw)
VALUES (?1, ?2, ?3, ?4)

-- name: put_period
INSERT INTO periods (
    organization_id, period_index, period_start, period_end, timezone, allowance, sequence
)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
ON CONFLICT (organization_id, period_index) DO UPDATE SET
    period_start = excluded.period_start,
    period_end = excluded.period_end,
    timezone = excluded.timezone,
    allowance = excluded.allowance,
    sequence = excluded.sequence

-- name: add_to_period_usage
INSERT INTO period_usage (
    organization_id, period_index, teamspace_id, meter, api_key_id, credits, events
)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
ON CONFLICT (organization_id, period_index, teamspace_id, meter, api_key_id) DO UPDATE SET
    credits = credits + excluded.credits,
    events = events + excluded.events

-- name: add_hold
INSERT INTO holds (
    organization_id, hold_id, credits, parts, captured, status, expires_at, placed, reference,
    teamspace_id, api_key_id, meter, dimensions, salt, digest, created_at
)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)

-- name: change_hold
UPDATE holds SET parts = ?3, captured = ?4, status = ?5, expires_at = ?6
WHERE organization_id = ?1 AND hold_id = ?2

-- name: add_milestone
INSERT INTO milestones (organization_id, sequence, state) VALUES (?1, ?2, ?3)

-- name: put_budget
INSERT INTO budgets (organization_id, subject_id, budget, used)
VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (organization_id, subject_id) DO UPDATE SET
    budget = excluded.budget,
    used = excluded.used

-- name: drop_budget
DELETE FROM budgets WHERE organization_id = ?1 AND subject_id = ?2

-- name: put_replay
INSERT INTO replays (
    organization_id, api_key_id, operation, idempotency_key, request_digest, status, body,
    created_at
)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
ON CONFLICT (api_key_id, operation, idempotency_key) DO UPDATE SET
    organization_id = excluded.organization_id,
    request_digest = excluded.request_digest,
    status = excluded.status,
    body = excluded.body,
    created_at = excluded.created_at

-- name: forget_replays
DELETE FROM replays WHERE created_at < ?1

-- name: note_key_used
UPDATE api_keys SET last_used_at = max(coalesce(last_used_at, ?3), ?3)
WHERE organization_id = ?1 AND key_id = ?2
