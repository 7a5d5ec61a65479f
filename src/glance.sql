-- What the database holds, and, only where that is not all that is wanted, what it takes to get
-- there: one row, one JSON document, one look.
--
-- $1 is what the template wants, as JSON: {"extensions": [{"name", "kind", "version", "schema"}],
-- "schemas": [], "known": [names], "claims": whether claims will be written}. Names are compared in
-- collation "C", where lower() knows ASCII alone, as the planner does. The session's search_path is
-- pg_catalog: nothing of a user's is found here.
--
-- $2 is the query of the rest, details.sql, and $3 a part of that, home.sql. The server plans them
-- only when it runs them, since it gets them as texts: query_to_xml() is its one function that runs a
-- text without a procedural language.
WITH wanted AS MATERIALIZED (
    SELECT (entry ->> 'name') COLLATE "C" AS key, lower((entry ->> 'name') COLLATE "C") AS name,
           entry ->> 'kind' AS kind, (entry ->> 'version') COLLATE "C" AS version,
           entry ->> 'schema' AS schema
    FROM jsonb_array_elements($1::jsonb -> 'extensions') AS entry
), installed AS MATERIALIZED (
    SELECT e.extname::text COLLATE "C" AS name, e.extversion COLLATE "C" AS version,
           n.nspname::text AS schema, e.extrelocatable AS relocatable,
           pg_has_role(e.extowner, 'USAGE') AS owned
    FROM pg_extension AS e JOIN pg_namespace AS n ON n.oid = e.extnamespace
), available AS MATERIALIZED (
    SELECT a.name::text COLLATE "C" AS name, a.default_version COLLATE "C" AS default_version
    FROM pg_available_extensions AS a
), judged AS MATERIALIZED (
    -- What is there by that very name and as wanted needs no list of what the server offers.
    SELECT w.name, EXISTS (
        SELECT FROM installed AS i
        WHERE i.name = w.key AND (w.kind = 'any' OR w.kind = 'exact' AND i.version = w.version)
    ) AS plain, w.kind, w.version
    FROM wanted AS w
), unsettled AS MATERIALIZED (
    SELECT w.name
    FROM judged AS w
    WHERE NOT w.plain AND (
       NOT EXISTS (SELECT FROM installed AS i WHERE lower(i.name) = w.name)
       OR EXISTS (
        SELECT FROM available AS a LEFT JOIN installed AS i ON i.name = a.name
        WHERE lower(a.name) = w.name
          AND CASE w.kind WHEN 'any' THEN i.name IS NOT NULL
                          WHEN 'latest' THEN i.version = a.default_version
                          WHEN 'exact' THEN i.version = w.version
                          ELSE starts_with(i.version, w.version)
                               AND i.version !~ 'next|dev|unpackaged' END IS NOT TRUE))
), glance (has_home, document) AS MATERIALIZED (
    SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = 'cfn_postgres_extensions'),
        jsonb_build_object(
            'database', current_database(),
            'server_version', current_setting('server_version'),
            'installed', coalesce((SELECT jsonb_agg(to_jsonb(i)) FROM installed AS i), '[]'),
            'available', CASE WHEN EXISTS (SELECT FROM judged WHERE NOT plain) THEN (
                SELECT coalesce(jsonb_object_agg(name, default_version), '{}') FROM available
            ) ELSE '{}' END,
            'unsettled', coalesce((SELECT jsonb_agg(name) FROM unsettled), '[]'))
)
SELECT (g.document || CASE
    WHEN g.has_home
      OR ($1::jsonb -> 'claims')::boolean
      OR jsonb_array_length(g.document -> 'unsettled') > 0
      OR EXISTS (SELECT FROM wanted AS w JOIN installed AS i ON lower(i.name) = w.name
                 WHERE i.schema <> w.schema)
    THEN replace(replace(replace(substring(
            query_to_xml(replace(replace($2,
                '/* home.sql */', CASE WHEN g.has_home THEN $3 ELSE 'NULL' END),
                '$1', quote_literal(($1::jsonb || g.document)::text)), false, true, '')::text,
            '<details>(.*)</details>'),
        '&lt;', '<'), '&gt;', '>'), '&amp;', '&')::jsonb
    ELSE '{}' END)::text
FROM glance AS g
