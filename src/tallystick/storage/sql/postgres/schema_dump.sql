-- The schema as text, from the catalogs: the same whatever the server's version.

-- name: dump_schema
-- A partitioned table appears as one: its storage parameters are those of its partitions, which come
-- as they are made and hold nothing of their own.
WITH ours AS (
    SELECT c.oid, c.relname, c.relkind
    FROM pg_class AS c
    WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition
        AND c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema())
),
lines AS (
    SELECT
        a.attrelid AS relation, a.attnum::int AS place,
        concat_ws(
            ' ',
            quote_ident(a.attname),
            format_type(a.atttypid, a.atttypmod),
            'COLLATE ' || (
                SELECT quote_ident(o.collname) FROM pg_collation AS o
                WHERE o.oid = a.attcollation AND o.collname <> 'default'
            ),
            CASE WHEN a.attidentity <> '' THEN 'GENERATED AS IDENTITY' END,
            CASE WHEN a.attnotnull THEN 'NOT NULL' END,
            'DEFAULT ' || pg_get_expr(d.adbin, d.adrelid)
        ) AS line
    FROM pg_attribute AS a
    LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE a.attnum > 0 AND NOT a.attisdropped
    UNION ALL
    SELECT
        k.conrelid,
        (10000 + row_number() OVER (PARTITION BY k.conrelid ORDER BY k.contype <> 'p', k.conname))
            ::int,
        format('CONSTRAINT %I %s', k.conname, pg_get_constraintdef(k.oid, true))
    FROM pg_constraint AS k
    WHERE k.contype IN ('c', 'p', 'u', 'x')
),
statements (rank, name, statement) AS (
    SELECT
        1, o.relname::text,
        format(
            E'CREATE TABLE %I (\n    %s\n)',
            o.relname, string_agg(l.line, E',\n    ' ORDER BY l.place)
        )
        || coalesce((
            SELECT DISTINCT E' WITH (' || array_to_string(c.reloptions, ', ') || ')'
            FROM pg_class AS c
            WHERE c.reloptions IS NOT NULL AND (
                c.oid = o.oid
                OR c.oid IN (SELECT i.inhrelid FROM pg_inherits AS i WHERE i.inhparent = o.oid)
            )
        ), '')
        || CASE o.relkind WHEN 'p' THEN ' PARTITION BY ' || pg_get_partkeydef(o.oid) ELSE '' END
    FROM ours AS o
    JOIN lines AS l ON l.relation = o.oid
    GROUP BY o.oid, o.relname, o.relkind
    UNION ALL
    SELECT
        2, x.relname::text,
        replace(
            replace(
                pg_get_indexdef(i.indexrelid),
                'ON ' || quote_ident(current_schema()) || '.', 'ON '
            ),
            'ON ONLY ' || quote_ident(current_schema()) || '.', 'ON '
        )
    FROM pg_index AS i
    JOIN pg_class AS x ON x.oid = i.indexrelid
    WHERE i.indrelid IN (SELECT oid FROM ours)
        AND NOT EXISTS (SELECT FROM pg_constraint AS k WHERE k.conindid = i.indexrelid)
    UNION ALL
    SELECT
        3, k.conname::text,
        format(
            'ALTER TABLE %I ADD CONSTRAINT %I %s',
            o.relname, k.conname, pg_get_constraintdef(k.oid, true)
        )
    FROM pg_constraint AS k
    JOIN ours AS o ON o.oid = k.conrelid
    WHERE k.contype = 'f' AND k.conparentid = 0
    UNION ALL
    SELECT 4, t.tgname::text, pg_get_triggerdef(t.oid, true)
    FROM pg_trigger AS t
    WHERE t.tgrelid IN (SELECT oid FROM ours) AND NOT t.tgisinternal
    UNION ALL
    SELECT
        0, f.proname::text,
        format(
            'CREATE FUNCTION %I(%s) RETURNS %s LANGUAGE %s AS $$%s$$',
            f.proname, pg_get_function_arguments(f.oid), pg_get_function_result(f.oid), l.lanname,
            f.prosrc
        )
    FROM pg_proc AS f
    JOIN pg_language AS l ON l.oid = f.prolang
    WHERE f.pronamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema())
)
SELECT statement FROM statements ORDER BY rank, name COLLATE "C"
