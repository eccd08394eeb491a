-- Requests that were refused or failed: what a lane writes of them, and what a reader asks.

-- name: note_refused
INSERT INTO refused_requests (
    organization_id, number, request_id, at, operation, method, path, status, code, details,
    teamspace_id, api_key_id, event_ids, rejected
)
VALUES (
    ?1,
    coalesce(
        (
            SELECT number
            FROM refused_requests
            WHERE organization_id = ?1
            ORDER BY number DESC
            LIMIT 1
        ),
        0
    ) + 1,
    ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13
)
ON CONFLICT (organization_id, request_id) DO NOTHING

-- name: forget_refused_beyond
-- All but the latest ?2 of an organization.
DELETE FROM refused_requests
WHERE organization_id = ?1 AND number <= (
    SELECT number FROM refused_requests WHERE organization_id = ?1 ORDER BY number DESC LIMIT 1
) - ?2

-- name: forget_refused_before
-- Some of them, the oldest first: nobody is to wait for all.
DELETE FROM refused_requests
WHERE (organization_id, number) IN (
    SELECT organization_id, number
    FROM refused_requests INDEXED BY refused_requests_by_age
    WHERE at < ?1
    ORDER BY at
    LIMIT ?2
)

-- name: read_refused
SELECT
    organization_id, request_id, at, operation, method, path, status, code, details, teamspace_id,
    api_key_id, event_ids, rejected
FROM refused_requests
WHERE organization_id = ?1 AND request_id = ?2
