-- The record of what has been applied, and what it is applied under.

-- name: lock_migrations
-- Whoever migrates this database; the number is "tallysti" in ASCII. Ends with the transaction.
SELECT pg_advisory_xact_lock(8386103194290451561)

-- name: create_history
CREATE TABLE IF NOT EXISTS schema_migrations (
    version BIGINT NOT NULL PRIMARY KEY,
    name TEXT COLLATE "C" NOT NULL,
    checksum TEXT COLLATE "C" NOT NULL,
    applied_at BIGINT NOT NULL
)

-- name: history
SELECT version, name, checksum FROM schema_migrations ORDER BY version

-- name: note_applied
INSERT INTO schema_migrations (version, name, checksum, applied_at) VALUES ($1, $2, $3, $4)

-- name: set_partitions
SELECT set_config('tallystick.partitions', $1, true)
