-- The record of what has been applied, what a script is run under, and what may be done by whom.

-- name: lock_migrations
-- Whoever migrates this database; the number is "tallysti" in ASCII. It ends with the transaction.
SELECT pg_advisory_xact_lock(8386103194290451561)

-- name: set_limits
-- A script may take its time, however long the server lets others run. But while it waits for a table,
-- everybody else waits behind it: not for long.
SELECT set_config('statement_timeout', '0', true), set_config('lock_timeout', '2s', true)

-- name: count_tables
-- Those of the schema in which ours are or would be, without what extensions brought. Other programs
-- have a table schema_migrations too; ours has checksums.
SELECT
    current_schema(),
    count(*) FILTER (WHERE r.attrelid IS NOT NULL),
    count(*) FILTER (WHERE r.attrelid IS NULL)
FROM pg_class AS c
LEFT JOIN pg_attribute AS r
    ON r.attrelid = c.oid AND c.relname = 'schema_migrations' AND r.attname = 'checksum'
WHERE c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema())
    AND c.relkind IN ('r', 'p')
    AND NOT EXISTS (
        SELECT FROM pg_depend AS d
        WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
    )

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
INSERT INTO schema_migrations (version, name, checksum, applied_at)
VALUES ($1, $2, $3, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)

-- name: count_partitions
SELECT count(*)
FROM pg_inherits AS i
JOIN pg_class AS c ON c.oid = i.inhparent
WHERE c.relname = 'accounts'
    AND c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema())

-- name: set_partitions
SELECT set_config('tallystick.partitions', $1, true)

-- name: runtime_roles
-- Those that were granted what a service needs, apart from the owner.
SELECT r.rolname::text
FROM pg_class AS c
CROSS JOIN aclexplode(c.relacl) AS a
JOIN pg_roles AS r ON r.oid = a.grantee
WHERE c.relname = 'accounts' AND a.privilege_type = 'INSERT' AND a.grantee <> c.relowner
    AND c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema())
ORDER BY 1

-- name: role_exists
SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1::name)

-- name: runtime_privileges
-- What a service needs, whether the role $1 has it, and what gives it. What it is not given is the
-- point: nothing changes entries, usage events, prices or the record, and no key ever changes. {*} are
-- all columns that are in no primary key. Whoever locks a row needs to be able to change something of
-- it, which is all that refused_requests are changed for.
WITH needed (table_name, privileges, changes) AS (
    VALUES
    ('accounts', '{SELECT,INSERT}'::text[], '{*}'::text[]),
    ('api_keys', '{SELECT,INSERT}', '{*}'),
    ('budgets', '{SELECT,INSERT,DELETE}', '{*}'),
    ('entries', '{SELECT,INSERT}', '{}'),
    ('event_dimensions', '{SELECT,INSERT}', '{dimensions,salt,erased_at}'),
    ('external_ids', '{SELECT,INSERT,DELETE}', '{organization_id}'),
    ('grants', '{SELECT,INSERT}', '{amount,remaining,held,status}'),
    ('holds', '{SELECT,INSERT}', '{parts,captured,status,expires_at,dimensions,salt}'),
    ('key_directory', '{SELECT,INSERT,DELETE}', '{expires_at}'),
    ('milestones', '{SELECT,INSERT}', '{}'),
    ('organizations', '{SELECT,INSERT}', '{*}'),
    ('period_usage', '{SELECT,INSERT}', '{credits,events}'),
    ('periods', '{SELECT,INSERT}', '{*}'),
    ('price_book', '{SELECT}', '{last_price,last_end}'),
    ('price_ends', '{SELECT,INSERT}', '{}'),
    ('prices', '{SELECT,INSERT}', '{}'),
    ('refused_requests', '{SELECT,INSERT,DELETE}', '{rejected}'),
    ('replays', '{SELECT,INSERT,DELETE}', '{*}'),
    ('schema_migrations', '{SELECT}', '{}'),
    ('teamspaces', '{SELECT,INSERT}', '{*}'),
    ('usage_days', '{SELECT,INSERT,DELETE}', '{*}'),
    ('usage_events', '{SELECT,INSERT}', '{}'),
    ('usage_rollups', '{SELECT,INSERT,DELETE}', '{credits,events}')
),
tables AS (
    SELECT
        c.oid,
        n.table_name,
        n.privileges,
        array(
            SELECT a.attname::text
            FROM pg_attribute AS a
            WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
                AND (
                    a.attname = ANY(n.changes)
                    OR n.changes = '{*}' AND NOT EXISTS (
                        SELECT FROM pg_constraint AS k
                        WHERE k.conrelid = c.oid AND k.contype = 'p' AND a.attnum = ANY(k.conkey)
                    )
                )
            ORDER BY a.attnum
        ) AS changes
    FROM needed AS n
    JOIN pg_class AS c ON c.relname = n.table_name
        AND c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema())
)
SELECT
    'USAGE on the schema ' || current_schema() AS privilege,
    has_schema_privilege($1::name, current_schema(), 'USAGE') AS is_held,
    format('GRANT USAGE ON SCHEMA %I TO %I', current_schema(), $1::name) AS statement
UNION ALL
-- Anybody may run a function, unless that was taken away.
SELECT
    'EXECUTE on ' || f.oid::regprocedure,
    has_function_privilege($1::name, f.oid, 'EXECUTE'),
    format('GRANT EXECUTE ON FUNCTION %s TO %I', f.oid::regprocedure, $1::name)
FROM pg_proc AS f
WHERE f.proname LIKE 'tallystick\_load\_%'
    AND f.pronamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema())
UNION ALL
SELECT
    format('%s on %s', p, t.table_name),
    has_table_privilege($1::name, t.oid, p),
    format('GRANT %s ON %I TO %I', p, t.table_name, $1::name)
FROM tables AS t
CROSS JOIN unnest(t.privileges) AS p
UNION ALL
SELECT
    format('UPDATE (%s) on %s', array_to_string(t.changes, ', '), t.table_name),
    (SELECT bool_and(has_column_privilege($1::name, t.oid, c, 'UPDATE')) FROM unnest(t.changes) AS c),
    format(
        'GRANT UPDATE (%s) ON %I TO %I',
        (SELECT string_agg(quote_ident(c), ', ' ORDER BY n)
            FROM unnest(t.changes) WITH ORDINALITY AS u (c, n)),
        t.table_name, $1::name
    )
FROM tables AS t
WHERE t.changes <> '{}'

-- name: revoke_all
-- Statements that take from the role $1 what it has on any table here: what an earlier version needed
-- is not to stay.
SELECT format('REVOKE ALL ON %I FROM %I', c.relname, $1::name)
FROM pg_class AS c
WHERE c.relkind IN ('r', 'p')
    AND c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema())
    AND EXISTS (
        SELECT FROM aclexplode(c.relacl) AS a
        WHERE a.grantee = (SELECT oid FROM pg_roles WHERE rolname = $1::name)
    )
