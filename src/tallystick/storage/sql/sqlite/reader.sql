-- What a reader asks. Of a list's statements, `…_older` walks towards older objects and `…_newer`
-- towards newer ones; both start beyond a position, which `position_of_…` finds for an id.

-- name: begin_reading
BEGIN

-- name: end_reading
ROLLBACK

-- name: ping
SELECT 1 FROM schema_migrations LIMIT 1

-- name: read_balance
SELECT remaining, consumed, overage, next_due_at FROM accounts WHERE organization_id = ?1

-- name: read_credential
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
WHERE d.hash = ?1

-- name: position_of_organization
SELECT created_at FROM organizations WHERE ?1 = '' AND organization_id = ?2

-- name: organizations_older
SELECT
    organization_id, name, external_id, default_teamspace_id, rate_limits, content, created_at,
    usage_dimensions
FROM organizations
WHERE ?1 = '' AND (created_at, organization_id) < (?2, ?3)
ORDER BY created_at DESC, organization_id DESC
LIMIT ?4

-- name: organizations_newer
SELECT
    organization_id, name, external_id, default_teamspace_id, rate_limits, content, created_at,
    usage_dimensions
FROM organizations
WHERE ?1 = '' AND (created_at, organization_id) > (?2, ?3)
ORDER BY created_at, organization_id
LIMIT ?4

-- name: position_of_teamspace
SELECT created_at FROM teamspaces WHERE organization_id = ?1 AND teamspace_id = ?2

-- name: teamspaces_older
SELECT
    organization_id, teamspace_id, name, access, cloud_provider, rate_limits, created_at
FROM teamspaces
WHERE organization_id = ?1 AND (created_at, teamspace_id) < (?2, ?3)
ORDER BY created_at DESC, teamspace_id DESC
LIMIT ?4

-- name: teamspaces_newer
SELECT
    organization_id, teamspace_id, name, access, cloud_provider, rate_limits, created_at
FROM teamspaces
WHERE organization_id = ?1 AND (created_at, teamspace_id) > (?2, ?3)
ORDER BY created_at, teamspace_id
LIMIT ?4

-- name: position_of_key
SELECT created_at FROM api_keys WHERE organization_id = ?1 AND key_id = ?2

-- name: keys_older
SELECT
    key_id, organization_id, teamspace_id, name, level, scopes, imported, created_at, expires_at,
    revoked_at, last_used_at
FROM api_keys
WHERE organization_id = ?1 AND (created_at, key_id) < (?2, ?3)
ORDER BY created_at DESC, key_id DESC
LIMIT ?4

-- name: keys_newer
SELECT
    key_id, organization_id, teamspace_id, name, level, scopes, imported, created_at, expires_at,
    revoked_at, last_used_at
FROM api_keys
WHERE organization_id = ?1 AND (created_at, key_id) > (?2, ?3)
ORDER BY created_at, key_id
LIMIT ?4

-- name: position_of_grant
SELECT issued FROM grants WHERE organization_id = ?1 AND grant_id = ?2

-- name: grants_older
SELECT
    organization_id, grant_id, kind, amount, remaining, held, priority, effective_at, expires_at,
    status, issued, reference, created_at
FROM grants
WHERE organization_id = ?1 AND (issued, grant_id) < (?2, ?3)
ORDER BY issued DESC, grant_id DESC
LIMIT ?4

-- name: grants_newer
SELECT
    organization_id, grant_id, kind, amount, remaining, held, priority, effective_at, expires_at,
    status, issued, reference, created_at
FROM grants
WHERE organization_id = ?1 AND (issued, grant_id) > (?2, ?3)
ORDER BY issued, grant_id
LIMIT ?4

-- name: position_of_hold
SELECT placed FROM holds WHERE organization_id = ?1 AND hold_id = ?2

-- name: holds_older
SELECT
    organization_id, hold_id, credits, parts, captured, status, expires_at, placed, reference,
    teamspace_id, api_key_id, meter, dimensions, salt, digest, created_at
FROM holds
WHERE organization_id = ?1 AND (placed, hold_id) < (?2, ?3)
ORDER BY placed DESC, hold_id DESC
LIMIT ?4

-- name: holds_newer
SELECT
    organization_id, hold_id, credits, parts, captured, status, expires_at, placed, reference,
    teamspace_id, api_key_id, meter, dimensions, salt, digest, created_at
FROM holds
WHERE organization_id = ?1 AND (placed, hold_id) > (?2, ?3)
ORDER BY placed, hold_id
LIMIT ?4

-- name: holds_of_status_older
SELECT
    organization_id, hold_id, credits, parts, captured, status, expires_at, placed, reference,
    teamspace_id, api_key_id, meter, dimensions, salt, digest, created_at
FROM holds INDEXED BY holds_by_status
WHERE organization_id = ?1 AND status = ?5 AND (placed, hold_id) < (?2, ?3)
ORDER BY placed DESC, hold_id DESC
LIMIT ?4

-- name: holds_of_status_newer
SELECT
    organization_id, hold_id, credits, parts, captured, status, expires_at, placed, reference,
    teamspace_id, api_key_id, meter, dimensions, salt, digest, created_at
FROM holds INDEXED BY holds_by_status
WHERE organization_id = ?1 AND status = ?5 AND (placed, hold_id) > (?2, ?3)
ORDER BY placed, hold_id
LIMIT ?4

-- name: last_sequence
SELECT sequence FROM accounts WHERE organization_id = ?1

-- name: booked_at
SELECT booked_at FROM entries WHERE organization_id = ?1 AND sequence = ?2

-- name: latest_milestone
SELECT state
FROM milestones
WHERE organization_id = ?1 AND sequence <= ?2
ORDER BY sequence DESC
LIMIT 1

-- name: entries_between
-- After ?2, up to ?3.
SELECT
    organization_id, sequence, kind, credits, drawn, grant_id, event_id, hold_id, teamspace_id,
    api_key_id, meter, occurred_at, booked_at, remaining_after, consumed_after, overage_after,
    held_after, detail, content
FROM entries
WHERE organization_id = ?1 AND sequence > ?2 AND sequence <= ?3
ORDER BY sequence

-- name: sequence_of_event
SELECT sequence FROM usage_events WHERE organization_id = ?1 AND event_id = ?2

-- name: sequences_of_reversals
SELECT sequence
FROM entries INDEXED BY entries_by_reversal
WHERE organization_id = ?1 AND event_id = ?2 AND kind = 'usage.reversed'
ORDER BY sequence

-- name: read_sealed
SELECT
    e.organization_id, e.sequence, e.kind, e.credits, e.drawn, e.grant_id, e.event_id, e.hold_id,
    e.teamspace_id, e.api_key_id, e.meter, e.occurred_at, e.booked_at, e.remaining_after,
    e.consumed_after, e.overage_after, e.held_after, e.detail, e.content, before.hash, e.hash
FROM entries AS e
LEFT JOIN entries AS before
    ON before.organization_id = e.organization_id AND before.sequence = e.sequence - 1
WHERE e.organization_id = ?1 AND e.sequence = ?2

-- Sequences of entries from ?2 up to, not including, ?3.

-- name: entries_older
-- Used without a kind, or with that of usage, which most entries have.
SELECT sequence
FROM entries
WHERE organization_id = ?1 AND sequence >= ?2 AND sequence < ?3 AND (?4 IS NULL OR kind = ?4)
ORDER BY sequence DESC
LIMIT ?5

-- name: entries_newer
SELECT sequence
FROM entries
WHERE organization_id = ?1 AND sequence >= ?2 AND sequence < ?3 AND (?4 IS NULL OR kind = ?4)
ORDER BY sequence
LIMIT ?5

-- name: entries_of_kind_older
SELECT sequence
FROM entries INDEXED BY entries_by_kind
WHERE
    organization_id = ?1 AND sequence >= ?2 AND sequence < ?3
    AND kind = ?4 AND kind <> 'usage.booked'
ORDER BY sequence DESC
LIMIT ?5

-- name: entries_of_kind_newer
SELECT sequence
FROM entries INDEXED BY entries_by_kind
WHERE
    organization_id = ?1 AND sequence >= ?2 AND sequence < ?3
    AND kind = ?4 AND kind <> 'usage.booked'
ORDER BY sequence
LIMIT ?5

-- name: entries_of_grant_older
SELECT sequence
FROM entries INDEXED BY entries_by_grant
WHERE
    organization_id = ?1 AND sequence >= ?2 AND sequence < ?3
    AND (?4 IS NULL OR kind = ?4) AND grant_id = ?6
ORDER BY sequence DESC
LIMIT ?5

-- name: entries_of_grant_newer
SELECT sequence
FROM entries INDEXED BY entries_by_grant
WHERE
    organization_id = ?1 AND sequence >= ?2 AND sequence < ?3
    AND (?4 IS NULL OR kind = ?4) AND grant_id = ?6
ORDER BY sequence
LIMIT ?5

-- name: entries_naming_grant_older
-- Entries about a grant and those that drew from it: `drawn` is JSON, a grant's id stands quoted.
SELECT sequence
FROM entries
WHERE
    organization_id = ?1 AND sequence >= ?2 AND sequence < ?3
    AND (?4 IS NULL OR kind = ?4) AND (grant_id = ?6 OR instr(drawn, '"' || ?6 || '"'))
ORDER BY sequence DESC
LIMIT ?5

-- name: entries_naming_grant_newer
SELECT sequence
FROM entries
WHERE
    organization_id = ?1 AND sequence >= ?2 AND sequence < ?3
    AND (?4 IS NULL OR kind = ?4) AND (grant_id = ?6 OR instr(drawn, '"' || ?6 || '"'))
ORDER BY sequence
LIMIT ?5

-- name: read_periods
SELECT
    organization_id, period_index, period_start, period_end, timezone, allowance, sequence
FROM periods
WHERE organization_id = ?1
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
WHERE p.organization_id = ?1 AND p.period_index = ?2

-- name: entries_that_move
-- Of one kind, after ?3 and before ?4; of holds and reversals only those whose lapsed parts, or
-- whose usage of an earlier period, count for a statement.
SELECT
    organization_id, sequence, kind, credits, drawn, grant_id, event_id, hold_id, teamspace_id,
    api_key_id, meter, occurred_at, booked_at, remaining_after, consumed_after, overage_after,
    held_after, detail, content
FROM entries INDEXED BY entries_by_kind
WHERE
    organization_id = ?1 AND kind = ?2 AND kind <> 'usage.booked'
    AND sequence > ?3 AND sequence < ?4
    AND (
        kind NOT IN ('usage.reversed', 'hold.released', 'hold.expired')
        OR json_array_length(detail, '$.lapsed') > 0
        OR json_extract(detail, '$.in_period') = 0
    )
ORDER BY sequence

-- name: grant_voided_at
SELECT min(sequence)
FROM entries INDEXED BY entries_by_grant
WHERE
    organization_id = ?1 AND grant_id = ?2
    AND kind = 'grant.voided' AND json_extract(detail, '$.final') = 1

-- name: usage_of_period
SELECT meter, teamspace_id, sum(credits), sum(events)
FROM period_usage
WHERE organization_id = ?1 AND period_index = ?2
GROUP BY meter, teamspace_id
ORDER BY meter, teamspace_id

-- name: read_consumed_between
SELECT coalesce(sum(credits), 0)
FROM usage_rollups
WHERE organization_id = ?1 AND dimension = '' AND bucket >= ?2 AND bucket < ?3

-- name: read_first_usage
SELECT min(bucket)
FROM usage_rollups
WHERE organization_id = ?1 AND dimension = '' AND bucket >= ?2

-- name: read_due
-- Ties stay in the order of the index: at midnight on the first of a month there are many.
SELECT organization_id FROM accounts WHERE next_due_at <= ?1 ORDER BY next_due_at LIMIT ?2
