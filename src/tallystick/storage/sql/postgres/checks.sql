-- What is looked at before a service starts.

-- name: facts
SELECT
    current_setting('server_version') AS version,
    current_setting('server_version_num')::integer / 10000 AS major,
    current_setting('server_encoding') AS encoding,
    current_database()::text AS database,
    current_user::text AS role,
    pg_is_in_recovery() AS is_standby,
    current_setting('default_transaction_read_only')::boolean AS is_read_only,
    current_setting('fsync')::boolean AS fsync,
    current_setting('full_page_writes')::boolean AS full_page_writes,
    current_setting('synchronous_commit') AS synchronous_commit,
    current_setting('synchronous_standby_names') AS synchronous_standbys

-- name: may_change_entries
SELECT has_table_privilege('entries', 'UPDATE, DELETE, TRUNCATE')
