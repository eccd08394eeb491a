-- How connections are set up.

-- name: use_wal
PRAGMA journal_mode = WAL

-- name: writer_settings
-- recursive_triggers: without it, INSERT OR REPLACE would delete entries past their trigger.
-- trusted_schema off: no function in the schema does more than compute.
-- secure_delete: rows that move from page to page leave nothing behind that could not be erased.
PRAGMA secure_delete = FAST;
PRAGMA foreign_keys = ON;
PRAGMA recursive_triggers = ON;
PRAGMA trusted_schema = OFF;
PRAGMA temp_store = MEMORY;
PRAGMA cache_size = -65536

-- name: reader_settings
PRAGMA trusted_schema = OFF;
PRAGMA query_only = ON;
PRAGMA temp_store = MEMORY;
PRAGMA cache_size = -16384

-- name: sync_every_commit
PRAGMA synchronous = FULL

-- name: sync_never
PRAGMA synchronous = OFF
