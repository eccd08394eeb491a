-- The record of what has been applied.

-- name: create_history
CREATE TABLE IF NOT EXISTS schema_migrations (
    version INTEGER NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    checksum TEXT NOT NULL,
    applied_at INTEGER NOT NULL
) STRICT

-- name: history
SELECT version, name, checksum FROM schema_migrations ORDER BY version

-- name: note_applied
INSERT INTO schema_migrations (version, name, checksum, applied_at) VALUES (?1, ?2, ?3, ?4)

-- name: dump_schema
SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY type = 'table' DESC, name

-- name: count_tables
SELECT
    count(*) FILTER (WHERE name = 'schema_migrations'),
    count(*) FILTER (WHERE name <> 'schema_migrations')
FROM sqlite_schema
WHERE type = 'table' AND name NOT LIKE 'sqlite%'
