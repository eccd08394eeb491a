-- Requests that were refused or failed: what a reader asks.

-- name: read_refused
SELECT
    organization_id, request_id, at, operation, method, path, status, code, details, teamspace_id,
    api_key_id, event_ids, rejected
FROM refused_requests
WHERE organization_id = $1 AND request_id = $2
