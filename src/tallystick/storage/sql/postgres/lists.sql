-- Lists: `…_older` walks towards older objects and `…_newer` towards newer ones. Both start beyond a
-- position, which `position_of_…` finds for an id.

-- name: position_of_organization
SELECT created_at FROM organizations WHERE $1::text = '' AND organization_id = $2

-- name: organizations_older
SELECT
    organization_id, name, external_id, default_teamspace_id, rate_limits, content, created_at,
    usage_dimensions
FROM organizations
WHERE $1::text = '' AND (created_at, organization_id) < ($2, $3)
ORDER BY created_at DESC, organization_id DESC
LIMIT $4

-- name: organizations_newer
SELECT
    organization_id, name, external_id, default_teamspace_id, rate_limits, content, created_at,
    usage_dimensions
FROM organizations
WHERE $1::text = '' AND (created_at, organization_id) > ($2, $3)
ORDER BY created_at, organization_id
LIMIT $4

-- name: position_of_teamspace
SELECT created_at FROM teamspaces WHERE organization_id = $1 AND teamspace_id = $2

-- name: teamspaces_older
SELECT
    organization_id, teamspace_id, name, access, cloud_provider, rate_limits, created_at
FROM teamspaces
WHERE organization_id = $1 AND (created_at, teamspace_id) < ($2, $3)
ORDER BY created_at DESC, teamspace_id DESC
LIMIT $4

-- name: teamspaces_newer
SELECT
    organization_id, teamspace_id, name, access, cloud_provider, rate_limits, created_at
FROM teamspaces
WHERE organization_id = $1 AND (created_at, teamspace_id) > ($2, $3)
ORDER BY created_at, teamspace_id
LIMIT $4

-- name: position_of_key
SELECT created_at FROM api_keys WHERE organization_id = $1 AND key_id = $2

-- name: keys_older
SELECT
    key_id, organization_id, teamspace_id, name, level, scopes, imported, created_at, expires_at,
    revoked_at, last_used_at
FROM api_keys
WHERE organization_id = $1 AND (created_at, key_id) < ($2, $3)
ORDER BY created_at DESC, key_id DESC
LIMIT $4

-- name: keys_newer
SELECT
    key_id, organization_id, teamspace_id, name, level, scopes, imported, created_at, expires_at,
    revoked_at, last_used_at
FROM api_keys
WHERE organization_id = $1 AND (created_at, key_id) > ($2, $3)
ORDER BY created_at, key_id
LIMIT $4

-- name: position_of_grant
SELECT issued FROM grants WHERE organization_id = $1 AND grant_id = $2

-- name: grants_older
SELECT
    organization_id, grant_id, kind, amount, remaining, held, priority, effective_at, expires_at,
    status, issued, reference, created_at
FROM grants
WHERE organization_id = $1 AND (issued, grant_id) < ($2, $3)
ORDER BY issued DESC, grant_id DESC
LIMIT $4

-- name: grants_newer
SELECT
    organization_id, grant_id, kind, amount, remaining, held, priority, effective_at, expires_at,
    status, issued, reference, created_at
FROM grants
WHERE organization_id = $1 AND (issued, grant_id) > ($2, $3)
ORDER BY issued, grant_id
LIMIT $4

-- name: position_of_hold
SELECT placed FROM holds WHERE organization_id = $1 AND hold_id = $2

-- name: holds_older
SELECT
    organization_id, hold_id, credits, parts, captured, status, expires_at, placed, reference,
    teamspace_id, api_key_id, meter, dimensions, salt, digest, created_at
FROM holds
WHERE organization_id = $1 AND (placed, hold_id) < ($2, $3)
ORDER BY placed DESC, hold_id DESC
LIMIT $4

-- name: holds_newer
SELECT
    organization_id, hold_id, credits, parts, captured, status, expires_at, placed, reference,
    teamspace_id, api_key_id, meter, dimensions, salt, digest, created_at
FROM holds
WHERE organization_id = $1 AND (placed, hold_id) > ($2, $3)
ORDER BY placed, hold_id
LIMIT $4

-- name: holds_of_status_older
SELECT
    organization_id, hold_id, credits, parts, captured, status, expires_at, placed, reference,
    teamspace_id, api_key_id, meter, dimensions, salt, digest, created_at
FROM holds
WHERE organization_id = $1 AND status = $5 AND (placed, hold_id) < ($2, $3)
ORDER BY placed DESC, hold_id DESC
LIMIT $4

-- name: holds_of_status_newer
SELECT
    organization_id, hold_id, credits, parts, captured, status, expires_at, placed, reference,
    teamspace_id, api_key_id, meter, dimensions, salt, digest, created_at
FROM holds
WHERE organization_id = $1 AND status = $5 AND (placed, hold_id) > ($2, $3)
ORDER BY placed, hold_id
LIMIT $4
