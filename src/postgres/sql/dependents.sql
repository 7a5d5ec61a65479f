-- What stands or falls with the extensions in $1 (a JSON array of names): one JSON document.
--
-- Follows pg_depend as DROP does: from an object to what depends on it, and from a part (a view's
-- rule, an array type) to the object that it is a part of. What hangs on nothing but being a part,
-- a member or an automatic dependent goes silently; the rest is what DROP ... RESTRICT names.
--
-- There may be very many dependents. So each step takes time in proportion to them, whatever the
-- planner expects; all are counted, and only the first are named. Extensions are named all: the
-- planner of this function decides about each.
WITH RECURSIVE dropped AS MATERIALIZED (
    SELECT e.oid, e.extname::text AS name, e.extconfig, e.extcondition
    FROM pg_extension AS e
    WHERE $1::jsonb ? e.extname::text
), reached (root, classid, objid, objsubid) AS (
    SELECT name, 'pg_extension'::regclass::oid, oid, 0 FROM dropped
    UNION
    SELECT r.root, next.classid, next.objid, next.objsubid
    FROM reached AS r
    CROSS JOIN LATERAL (
        SELECT d.classid, d.objid, d.objsubid
        FROM pg_depend AS d
        WHERE d.refclassid = r.classid AND d.refobjid = r.objid
          AND (r.objsubid = 0 OR d.refobjsubid = r.objsubid)
        UNION ALL
        SELECT d.refclassid, d.refobjid, d.refobjsubid
        FROM pg_depend AS d
        WHERE d.classid = r.classid AND d.objid = r.objid AND d.deptype IN ('i', 'e')
          -- As a range of the index: a table may have very many columns.
          AND d.objsubid BETWEEN r.objsubid
                             AND CASE r.objsubid WHEN 0 THEN 32767 ELSE r.objsubid END
    ) AS next
), judged AS (
    SELECT classid, objid, objsubid, bool_or(silent) AS silent,
           bool_or(objsubid = 0) OVER (PARTITION BY classid, objid) AS whole,
           array_agg(DISTINCT root) FILTER (WHERE root IS NOT NULL) AS roots
    FROM (
        SELECT root, classid, objid, objsubid, false AS silent FROM reached
        UNION ALL
        SELECT NULL, d.classid, d.objid, d.objsubid, true
        FROM reached AS o
        JOIN pg_depend AS d ON d.refclassid = o.classid AND d.refobjid = o.objid
                           AND (o.objsubid = 0 OR d.refobjsubid = o.objsubid)
        WHERE d.deptype <> 'n'
          -- Before PostgreSQL 15 a generated column goes silently with a function: it is a user's.
          AND NOT (d.classid = 'pg_class'::regclass AND d.objsubid <> 0
                   AND d.refclassid <> 'pg_class'::regclass AND d.deptype = 'a')
    ) AS each
    GROUP BY classid, objid, objsubid
), named AS MATERIALIZED (
    SELECT j.classid, j.objid, j.objsubid, j.roots,
           row_number() OVER (ORDER BY j.classid, j.objid, j.objsubid) AS number
    FROM judged AS j
    WHERE NOT j.silent
      AND NOT (j.classid = 'pg_extension'::regclass AND j.objid IN (SELECT oid FROM dropped))
      -- A column says no more than its table, where all of that goes.
      AND NOT (j.objsubid <> 0 AND j.whole)
), tables AS (
    SELECT d.name AS extension, c.relname::text AS table, n.nspname::text AS schema,
           coalesce(nullif(condition, ''), '') AS condition,
           has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
               AND NOT row_security_active(c.oid) AS readable,
           has_table_privilege(c.oid, 'UPDATE, DELETE, TRUNCATE') AND NOT pg_is_in_recovery()
               AS lockable,
           -- The transaction that made the table a member: such a row is never updated.
           (SELECT m.xmin::text FROM pg_depend AS m
            WHERE m.classid = 'pg_class'::regclass AND m.objid = c.oid AND m.deptype = 'e'
              AND m.refclassid = 'pg_extension'::regclass AND m.refobjid = d.oid) AS member_since
    FROM dropped AS d
    CROSS JOIN LATERAL unnest(d.extconfig, d.extcondition) AS config (oid, condition)
    JOIN pg_class AS c ON c.oid = config.oid AND c.relkind = 'r'
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
)
SELECT jsonb_build_object(
    'objects', coalesce((
        SELECT jsonb_agg(jsonb_build_object(
            'of', n.roots,
            'what', what.type || ' ' || what.identity,
            'extension', (SELECT e.extname FROM pg_extension AS e
                          WHERE n.classid = 'pg_extension'::regclass AND e.oid = n.objid))
            ORDER BY what.type, what.identity)
        FROM named AS n
        CROSS JOIN LATERAL pg_identify_object(n.classid, n.objid, n.objsubid) AS what
        WHERE n.number <= 100 OR n.classid = 'pg_extension'::regclass), '[]'),
    'total', (SELECT count(*) FROM named),
    'counts', coalesce((
        SELECT jsonb_object_agg(c.root, c.count)
        FROM (SELECT root, count(*) FROM named, unnest(roots) AS root GROUP BY root) AS c), '{}'),
    'tables', coalesce((
        SELECT jsonb_agg(to_jsonb(t) ORDER BY t.extension, t.schema, t.table)
        FROM tables AS t), '[]')
)::text
