-- Who is who, the price book, and what is kept beside the ledger for a while. Rows that two lanes
-- may write at once are written in the order of their keys, so that nobody waits in a circle.

-- name: put_organization
INSERT INTO organizations (
    organization_id, name, external_id, default_teamspace_id, rate_limits, content, created_at,
    usage_dimensions
)
SELECT *
FROM unnest(
    $1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bytea[], $7::bigint[],
    $8::text[]
)
ON CONFLICT (organization_id) DO UPDATE SET
    name = excluded.name,
    external_id = excluded.external_id,
    default_teamspace_id = excluded.default_teamspace_id,
    rate_limits = excluded.rate_limits,
    content = excluded.content,
    created_at = excluded.created_at,
    usage_dimensions = excluded.usage_dimensions

-- name: put_external_id
-- What the organization is called already is not written; another's name is refused by the key.
INSERT INTO external_ids (external_id, organization_id)
SELECT n.external_id, n.organization_id
FROM unnest($1::text[], $2::text[]) AS n (external_id, organization_id)
WHERE NOT EXISTS (
    SELECT FROM external_ids AS t
    WHERE t.external_id = n.external_id AND t.organization_id = n.organization_id
)

-- name: put_teamspace
INSERT INTO teamspaces (
    organization_id, teamspace_id, name, access, cloud_provider, rate_limits, created_at
)
SELECT *
FROM unnest(
    $1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bigint[]
)
ON CONFLICT (organization_id, teamspace_id) DO UPDATE SET
    name = excluded.name,
    access = excluded.access,
    cloud_provider = excluded.cloud_provider,
    rate_limits = excluded.rate_limits,
    created_at = excluded.created_at

-- name: put_key
-- When it was used is noted without the account's lock, maybe since the key was loaded.
INSERT INTO api_keys AS t (
    key_id, organization_id, teamspace_id, name, level, scopes, imported, created_at, expires_at,
    revoked_at, last_used_at
)
SELECT *
FROM unnest(
    $1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::boolean[],
    $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[]
)
ON CONFLICT (organization_id, key_id) DO UPDATE SET
    teamspace_id = excluded.teamspace_id,
    name = excluded.name,
    level = excluded.level,
    scopes = excluded.scopes,
    imported = excluded.imported,
    created_at = excluded.created_at,
    expires_at = excluded.expires_at,
    revoked_at = excluded.revoked_at,
    last_used_at = greatest(t.last_used_at, excluded.last_used_at)

-- name: put_secret
-- One without its key is not written, and another key's stays as it is: neither is counted.
INSERT INTO key_directory AS t (hash, organization_id, key_id, expires_at)
SELECT n.hash, n.organization_id, n.key_id, n.expires_at
FROM (
    SELECT *
    FROM unnest(
        $1::bytea[], $2::text[], $3::text[], $4::bigint[]
    )
    LIMIT cardinality($1)
) AS n (hash, organization_id, key_id, expires_at)
JOIN api_keys AS k ON k.organization_id = n.organization_id AND k.key_id = n.key_id
ON CONFLICT (hash) DO UPDATE SET
    expires_at = excluded.expires_at
WHERE t.organization_id = excluded.organization_id AND t.key_id = excluded.key_id

-- name: drop_secret
DELETE FROM key_directory AS t
USING (
    SELECT *
    FROM unnest(
        $1::bytea[]
    )
    LIMIT cardinality($1)
) AS n (hash)
WHERE t.hash = n.hash

-- name: note_key_used
-- A key that somebody else is changing is noted the next time.
UPDATE api_keys AS t SET last_used_at = greatest(t.last_used_at, n.at)
FROM (
    SELECT *
    FROM unnest(
        $1::text[], $2::text[], $3::bigint[]
    )
    LIMIT cardinality($1)
) AS n (organization_id, key_id, at)
CROSS JOIN LATERAL (
    SELECT k.organization_id, k.key_id
    FROM api_keys AS k
    WHERE k.organization_id = n.organization_id AND k.key_id = n.key_id
    FOR UPDATE SKIP LOCKED
) AS free
WHERE t.organization_id = n.organization_id AND t.key_id = n.key_id AND free.key_id = n.key_id

-- name: put_replay
-- $9: since when answers count. One that still does stays as it is, and is not counted.
INSERT INTO replays AS t (
    organization_id, api_key_id, operation, idempotency_key, request_digest, status, body,
    created_at
)
SELECT *
FROM unnest(
    $1::text[], $2::text[], $3::text[], $4::text[], $5::bytea[], $6::bigint[], $7::bytea[],
    $8::bigint[]
)
ON CONFLICT (organization_id, api_key_id, operation, idempotency_key) DO UPDATE SET
    request_digest = excluded.request_digest,
    status = excluded.status,
    body = excluded.body,
    created_at = excluded.created_at
WHERE t.created_at <= $9

-- name: forget_replays
-- Some of them, the oldest first; those that another lane is forgetting too are left to it. All at
-- once could take longer than a statement may, and then none would ever go.
DELETE FROM replays
WHERE (organization_id, api_key_id, operation, idempotency_key) IN (
    SELECT organization_id, api_key_id, operation, idempotency_key
    FROM replays
    WHERE created_at < $1
    ORDER BY created_at
    LIMIT $2
    FOR UPDATE SKIP LOCKED
)

-- name: add_price
INSERT INTO prices (price_id, meter, dimensions, credits, per, rounding, effective_at, created_at)
SELECT *
FROM unnest(
    $1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::bigint[],
    $8::bigint[]
)

-- name: add_price_end
INSERT INTO price_ends (price_id, ends_at, created_at)
SELECT *
FROM unnest($1::text[], $2::bigint[], $3::bigint[])

-- name: note_refused
-- The numbers go on from the organization's last one.
INSERT INTO refused_requests (
    organization_id, number, request_id, at, operation, method, path, status, code, details,
    teamspace_id, api_key_id, event_ids, rejected
)
SELECT
    n.organization_id,
    coalesce(
        (
            SELECT r.number
            FROM refused_requests AS r
            WHERE r.organization_id = n.organization_id
            ORDER BY r.number DESC
            LIMIT 1
        ),
        0
    ) + row_number() OVER (PARTITION BY n.organization_id ORDER BY n.place),
    n.request_id, n.at, n.operation, n.method, n.path, n.status, n.code, n.details,
    n.teamspace_id, n.api_key_id, n.event_ids, n.rejected
FROM unnest(
    $1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::bigint[],
    $8::text[], $9::text[], $10::text[], $11::text[], $12::text[], $13::bigint[]
) WITH ORDINALITY AS n (
    organization_id, request_id, at, operation, method, path, status, code, details, teamspace_id,
    api_key_id, event_ids, rejected, place
)
ORDER BY n.organization_id, n.place
ON CONFLICT (organization_id, request_id) DO NOTHING

-- name: forget_refused_beyond
-- All but the latest $2 of each organization.
DELETE FROM refused_requests AS t
USING (
    SELECT *
    FROM unnest(
        $1::text[]
    )
    LIMIT cardinality($1)
) AS n (organization_id)
    CROSS JOIN LATERAL (
        SELECT r.number
        FROM refused_requests AS r
        WHERE r.organization_id = n.organization_id
        ORDER BY r.number DESC
        LIMIT 1
    ) AS latest
WHERE t.organization_id = n.organization_id AND t.number <= latest.number - $2

-- name: forget_refused_before
-- Some of them, the oldest first: nobody is to wait for all.
DELETE FROM refused_requests
WHERE (organization_id, number) IN (
    SELECT organization_id, number
    FROM refused_requests
    WHERE at < $1
    ORDER BY at
    LIMIT $2
    FOR UPDATE SKIP LOCKED
)
