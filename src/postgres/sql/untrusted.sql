-- What is configured where extension scripts search, and what roles that are not trusted own: one JSON
-- document. The planner decides which of it concerns a script.
--
-- $1 is a JSON array of the roles that were trusted before a script ran, which may have made others
-- superusers; empty before that.
WITH settings AS MATERIALIZED (
    -- Each by itself: a script may read the database's, whatever the role's is (PostGIS's topology does).
    -- The length is bounded for the function's memory; what is cut is refused.
    SELECT substr(entry, length('search_path=') + 1, 65536) AS path,
           format(CASE WHEN s.setdatabase = 0 AND s.setrole = 0 THEN 'ALTER ROLE ALL'
                       WHEN s.setdatabase = 0 THEN 'ALTER ROLE %1$I'
                       WHEN s.setrole = 0 THEN 'ALTER DATABASE %2$I'
                       ELSE 'ALTER ROLE %1$I IN DATABASE %2$I' END
                  || ' RESET search_path', session_user, current_database()) AS reset
    FROM pg_db_role_setting AS s CROSS JOIN LATERAL unnest(s.setconfig) AS entry
    WHERE s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
      AND s.setrole IN (0, (SELECT oid FROM pg_roles WHERE rolname = session_user))
      AND starts_with(lower(entry), 'search_path=')
), configured AS MATERIALIZED (
    SELECT path, reset FROM settings
    UNION ALL
    -- The session's own SET does not change reset_val.
    SELECT left(reset_val, 65536), NULL
    FROM pg_settings
    WHERE name = 'search_path'
      AND NOT EXISTS (SELECT FROM settings WHERE path = left(reset_val, 65536))
), names AS MATERIALIZED (
    -- The server folds letters beyond ASCII in some encodings only.
    SELECT unnest(ARRAY[
        replace(word[1], '""', '"'), lower(word[2]), lower(word[2] COLLATE "C")])::name AS name
    FROM configured
    CROSS JOIN LATERAL regexp_matches(path, '"((?:[^"]|"")*)"|([^", \t\n\r\f]+)', 'g') AS word
), trusted AS MATERIALIZED (
    SELECT oid FROM pg_roles
    WHERE ($1::jsonb = '[]' OR $1::jsonb ? rolname::text)
      AND (rolsuper
      -- As in claim_table.sql: a role that the database has the session take is somebody else.
       OR rolname = current_user AND NOT EXISTS (
        SELECT FROM pg_db_role_setting AS s JOIN pg_database AS d ON d.oid = s.setdatabase
        WHERE d.datname = current_database() AND s.setrole = 0
          AND array_to_string(s.setconfig, E'\n') ~ '(?n)^(role|session_authorization)='))
), fitting AS MATERIALIZED (
    -- The server makes one of these of a built-in value, or of a literal, by itself.
    SELECT t.oid FROM pg_type AS t
    WHERE t.typtype IN ('d', 'e')
       OR EXISTS (SELECT FROM pg_cast AS c
                  WHERE c.casttarget = t.oid AND c.castsource < 16384 AND c.castcontext = 'i')
), objects AS MATERIALIZED (
    -- Who owns the function decides what the operator does. Below 16384 are the server's own types: one
    -- of them is enough for the operator to fit better than that of pg_catalog.
    SELECT 'operators' AS kind, o.oid, o.oprnamespace AS schema, o.oid::regoperator::text AS name,
           CASE WHEN o.oprowner = ANY (ARRAY(SELECT oid FROM trusted))
                THEN p.proowner ELSE o.oprowner END AS owner
    FROM pg_operator AS o LEFT JOIN pg_proc AS p ON p.oid = o.oprcode
    WHERE (o.oprleft < 16384 OR o.oprleft = ANY (ARRAY(SELECT oid FROM fitting)))
      AND (o.oprright < 16384 OR o.oprright = ANY (ARRAY(SELECT oid FROM fitting)))
      AND (o.oprleft BETWEEN 1 AND 16383 OR o.oprright BETWEEN 1 AND 16383)
      AND NOT (o.oprowner = ANY (ARRAY(SELECT oid FROM trusted))
               AND coalesce(p.proowner, o.oprowner) = ANY (ARRAY(SELECT oid FROM trusted)))
      AND EXISTS (
        SELECT FROM pg_operator AS built_in
        WHERE built_in.oprname = o.oprname
          AND built_in.oprnamespace = 'pg_catalog'::regnamespace)
    UNION ALL
    SELECT 'functions', p.oid, p.pronamespace, p.oid::regprocedure::text, p.proowner
    FROM pg_proc AS p
    WHERE p.proowner <> ALL (ARRAY(SELECT oid FROM trusted))
      AND 16384 > ALL (p.proargtypes::oid[])
      AND EXISTS (
        SELECT FROM pg_proc AS built_in
        WHERE built_in.proname = p.proname
          AND built_in.pronamespace = 'pg_catalog'::regnamespace)
), counted AS (
    SELECT kind, schema, name, owner, count(*) OVER of_schema AS count,
           row_number() OVER (of_schema ORDER BY oid) AS number
    FROM objects
    WINDOW of_schema AS (PARTITION BY kind, schema)
), listed AS (
    SELECT kind, n.nspname, jsonb_build_object('count', max(count), 'some', jsonb_agg(
               format('`%s` of `%s`', name, pg_get_userbyid(owner)) ORDER BY number)) AS objects
    FROM counted JOIN pg_namespace AS n ON n.oid = schema
    WHERE number <= 5
    GROUP BY kind, n.nspname
)
SELECT jsonb_build_object(
    'trusted', ARRAY(SELECT rolname FROM pg_roles AS r JOIN trusted AS t ON t.oid = r.oid),
    'search_paths', (SELECT jsonb_agg(to_jsonb(c)) FROM configured AS c),
    -- A trusted extension's script runs as the superuser of the cluster.
    'searched', ARRAY(
        SELECT nspname FROM pg_namespace
        WHERE nspname IN (SELECT name FROM names)
           OR nspname IN (current_user, session_user, pg_get_userbyid(10))
              AND EXISTS (SELECT FROM names WHERE name = '$user')),
    'operators', (SELECT coalesce(jsonb_object_agg(nspname, objects), '{}')
                  FROM listed WHERE kind = 'operators'),
    'functions', (SELECT coalesce(jsonb_object_agg(nspname, objects), '{}')
                  FROM listed WHERE kind = 'functions'),
    -- Scripts go on with the tables that they find there.
    'schemas', (
        SELECT coalesce(jsonb_object_agg(nspname, pg_get_userbyid(owner)), '{}')
        FROM (SELECT n.nspname, min(owner) AS owner
              FROM (SELECT oid AS schema, nspowner AS owner FROM pg_namespace
                    UNION ALL SELECT relnamespace, relowner FROM pg_class) AS owned
              JOIN pg_namespace AS n ON n.oid = schema
              WHERE owner <> ALL (ARRAY(SELECT oid FROM trusted))
              GROUP BY n.nspname) AS schemas),
    -- Whose the objects are that SET SCHEMA would have to own, and does not.
    'members', (
        SELECT coalesce(jsonb_object_agg(e.extname, pg_get_userbyid(part.owner)), '{}')
        FROM pg_extension AS e
        CROSS JOIN LATERAL (
            SELECT coalesce(p.proowner, t.typowner, o.oprowner) AS owner
            FROM pg_depend AS d
            LEFT JOIN pg_proc AS p ON d.classid = 'pg_proc'::regclass AND p.oid = d.objid
            LEFT JOIN pg_type AS t ON d.classid = 'pg_type'::regclass AND t.oid = d.objid
            LEFT JOIN pg_operator AS o ON d.classid = 'pg_operator'::regclass AND o.oid = d.objid
            WHERE d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
              AND d.deptype = 'e'
              AND NOT pg_has_role(coalesce(p.proowner, t.typowner, o.oprowner), 'USAGE')
            LIMIT 1) AS part
        -- A superuser has every role.
        WHERE NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user))
)::text
