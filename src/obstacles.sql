-- What stands or falls with the extensions in $1 (a JSON array of names): one JSON document.
--
-- Follows pg_depend as DROP does: from an object to what depends on it, and from a part (a view's
-- rule, an array type) to the object that it is a part of. What hangs on nothing but being a part,
-- a member or an automatic dependent goes silently; the rest is what DROP ... RESTRICT names.
WITH RECURSIVE doomed AS MATERIALIZED (
    SELECT e.oid, e.extname::text AS name, e.extconfig, e.extcondition
    FROM pg_extension AS e
    WHERE $1::jsonb ? e.extname::text
), reached (classid, objid, objsubid) AS (
    SELECT 'pg_extension'::regclass::oid, oid, 0 FROM doomed
    UNION
    SELECT next.classid, next.objid, next.objsubid
    FROM reached AS r
    CROSS JOIN LATERAL (
        SELECT d.classid, d.objid, d.objsubid
        FROM pg_depend AS d
        WHERE d.refclassid = r.classid AND d.refobjid = r.objid
          AND (r.objsubid = 0 OR d.refobjsubid = r.objsubid)
        UNION ALL
        SELECT d.refclassid, d.refobjid, d.refobjsubid
        FROM pg_depend AS d
        WHERE d.classid = r.classid AND d.objid = r.objid
          AND (r.objsubid = 0 OR d.objsubid = r.objsubid) AND d.deptype IN ('i', 'e')
    ) AS next
), named AS (
    SELECT r.classid, r.objid, r.objsubid
    FROM reached AS r
    WHERE NOT EXISTS (
        SELECT FROM pg_depend AS d
        JOIN reached AS o ON o.classid = d.refclassid AND o.objid = d.refobjid
                         AND (o.objsubid = 0 OR o.objsubid = d.refobjsubid)
        WHERE d.classid = r.classid AND d.objid = r.objid AND d.objsubid = r.objsubid
          AND d.deptype <> 'n'
          -- Before PostgreSQL 15 a generated column goes silently with a function: it is a user's.
          AND NOT (d.classid = 'pg_class'::regclass AND d.objsubid <> 0
                   AND d.refclassid <> 'pg_class'::regclass AND d.deptype = 'a'))
      AND NOT (r.classid = 'pg_extension'::regclass AND r.objid IN (SELECT oid FROM doomed))
      -- A column says no more than its table, where all of that goes.
      AND NOT (r.objsubid <> 0 AND EXISTS (
        SELECT FROM reached AS o
        WHERE o.classid = r.classid AND o.objid = r.objid AND o.objsubid = 0))
), tables AS (
    SELECT d.name AS extension, c.relname::text AS table, n.nspname::text AS schema,
           coalesce(nullif(condition, ''), '') AS condition,
           has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
               AND NOT row_security_active(c.oid) AS readable,
           has_table_privilege(c.oid, 'UPDATE, DELETE, TRUNCATE') AND NOT pg_is_in_recovery()
               AS lockable
    FROM doomed AS d
    CROSS JOIN LATERAL unnest(d.extconfig, d.extcondition) AS config (oid, condition)
    JOIN pg_class AS c ON c.oid = config.oid AND c.relkind = 'r'
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
)
SELECT jsonb_build_object(
    'dependents', coalesce((
        SELECT jsonb_agg(jsonb_build_object(
            'what', what.type || ' ' || what.identity,
            'extension', (SELECT e.extname FROM pg_extension AS e
                          WHERE n.classid = 'pg_extension'::regclass AND e.oid = n.objid))
            ORDER BY what.type, what.identity)
        FROM named AS n
        CROSS JOIN LATERAL pg_identify_object(n.classid, n.objid, n.objsubid) AS what), '[]'),
    'tables', coalesce((
        SELECT jsonb_agg(to_jsonb(t) ORDER BY t.extension, t.schema, t.table)
        FROM tables AS t), '[]')
)::text
