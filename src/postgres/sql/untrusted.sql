-- What others have put where extension scripts search: one JSON document. Run where a script would be,
-- or something moved by a role that is no superuser.
--
-- $1 is {"schemas": [names of those that the planned scripts search], "prescribed": [those of them that
-- new extensions prescribe], "moved": [extensions],
-- "trusted": [roles that were trusted before a script ran, which may have made others superusers]}.
WITH given (document) AS MATERIALIZED (
    SELECT $1::jsonb
), settings AS MATERIALIZED (
    -- Each by itself: a script may read the database's, whatever the role's is (PostGIS's topology does).
    -- The length is bounded for our memory; what is cut is refused.
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
    -- Our own SET does not change reset_val.
    SELECT left(reset_val, 65536), NULL
    FROM pg_settings
    WHERE name = 'search_path'
      AND NOT EXISTS (SELECT FROM settings WHERE path = left(reset_val, 65536))
), names AS MATERIALIZED (
    SELECT jsonb_array_elements_text(document -> 'schemas')::name AS name FROM given
    UNION
    -- The server folds letters beyond ASCII in some encodings only.
    SELECT unnest(ARRAY[
        replace(word[1], '""', '"'), lower(word[2]), lower(word[2] COLLATE "C")])::name
    FROM configured
    CROSS JOIN LATERAL regexp_matches(path, '"((?:[^"]|"")*)"|([^", \t\n\r\f]+)', 'g') AS word
), searched AS MATERIALIZED (
    -- A trusted extension's script runs as the superuser of the cluster.
    SELECT oid FROM pg_namespace
    WHERE nspname IN (SELECT name FROM names)
       OR nspname IN (current_user, session_user, pg_get_userbyid(10))
          AND EXISTS (SELECT FROM names WHERE name = '$user')
), trusted AS MATERIALIZED (
    SELECT oid FROM pg_roles CROSS JOIN given
    WHERE (document -> 'trusted' = '[]' OR document -> 'trusted' ? rolname::text)
      AND (rolsuper
      -- As in home.sql: a role that the database has us take is somebody else.
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
), operators AS MATERIALIZED (
    -- Who owns the function decides what the operator does. Below 16384 are the server's own types: one
    -- of them is enough for the operator to fit better than that of pg_catalog.
    SELECT o.oid, CASE WHEN o.oprowner = ANY (ARRAY(SELECT oid FROM trusted))
                       THEN p.proowner ELSE o.oprowner END AS owner
    FROM pg_operator AS o LEFT JOIN pg_proc AS p ON p.oid = o.oprcode
    WHERE o.oprnamespace = ANY (ARRAY(SELECT oid FROM searched))
      AND (o.oprleft < 16384 OR o.oprleft = ANY (ARRAY(SELECT oid FROM fitting)))
      AND (o.oprright < 16384 OR o.oprright = ANY (ARRAY(SELECT oid FROM fitting)))
      AND (o.oprleft BETWEEN 1 AND 16383 OR o.oprright BETWEEN 1 AND 16383)
      AND NOT (o.oprowner = ANY (ARRAY(SELECT oid FROM trusted))
               AND coalesce(p.proowner, o.oprowner) = ANY (ARRAY(SELECT oid FROM trusted)))
      AND EXISTS (
        SELECT FROM pg_operator AS built_in
        WHERE built_in.oprname = o.oprname
          AND built_in.oprnamespace = 'pg_catalog'::regnamespace)
), functions AS MATERIALIZED (
    SELECT p.oid, p.proowner AS owner
    FROM pg_proc AS p
    WHERE p.pronamespace = ANY (ARRAY(SELECT oid FROM searched))
      AND p.proowner <> ALL (ARRAY(SELECT oid FROM trusted))
      AND 16384 > ALL (p.proargtypes::oid[])
      AND EXISTS (
        SELECT FROM pg_proc AS built_in
        WHERE built_in.proname = p.proname
          AND built_in.pronamespace = 'pg_catalog'::regnamespace)
)
SELECT jsonb_build_object(
    'trusted', ARRAY(SELECT rolname FROM pg_roles AS r JOIN trusted AS t ON t.oid = r.oid),
    'paths', (SELECT jsonb_agg(to_jsonb(c)) FROM configured AS c),
    'operators', jsonb_build_object(
        'count', (SELECT count(*) FROM operators),
        'some', ARRAY(
            SELECT jsonb_build_object('name', oid::regoperator::text,
                                      'owner', pg_get_userbyid(owner))
            FROM operators ORDER BY oid LIMIT 5)),
    'functions', jsonb_build_object(
        'count', (SELECT count(*) FROM functions),
        'some', ARRAY(
            SELECT jsonb_build_object('name', oid::regprocedure::text,
                                      'owner', pg_get_userbyid(owner))
            FROM functions ORDER BY oid LIMIT 5)),
    -- Scripts go on with the tables that they find there.
    'prescribed', (
        SELECT coalesce(jsonb_object_agg(n.nspname, pg_get_userbyid(other.owner)), '{}')
        FROM given JOIN pg_namespace AS n ON document -> 'prescribed' ? n.nspname::text
        CROSS JOIN LATERAL (
            SELECT owner
            FROM (SELECT n.nspowner UNION ALL
                  SELECT c.relowner FROM pg_class AS c WHERE c.relnamespace = n.oid) AS o (owner)
            WHERE owner <> ALL (ARRAY(SELECT oid FROM trusted))
            LIMIT 1) AS other),
    -- Whose the objects are that SET SCHEMA would have to own, and does not.
    'foreign', (
        SELECT coalesce(jsonb_object_agg(e.extname, pg_get_userbyid(part.owner)), '{}')
        FROM given JOIN pg_extension AS e ON document -> 'moved' ? e.extname::text
        CROSS JOIN LATERAL (
            SELECT coalesce(p.proowner, t.typowner, o.oprowner) AS owner
            FROM pg_depend AS d
            LEFT JOIN pg_proc AS p ON d.classid = 'pg_proc'::regclass AND p.oid = d.objid
            LEFT JOIN pg_type AS t ON d.classid = 'pg_type'::regclass AND t.oid = d.objid
            LEFT JOIN pg_operator AS o ON d.classid = 'pg_operator'::regclass AND o.oid = d.objid
            WHERE d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
              AND d.deptype = 'e'
              AND NOT pg_has_role(coalesce(p.proowner, t.typowner, o.oprowner), 'USAGE')
            LIMIT 1) AS part)
)::text
