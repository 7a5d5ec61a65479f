-- What the database holds and what its server offers: one JSON document. The query that glance.sql
-- runs where a glance is not enough, under its settings and in its snapshot.
--
-- The setting has what the template wants: {"extensions": [{"name", "kind", "version"}], "schemas": [],
-- "known": [names]}. That only decides how much is looked up: the view that reads every control file
-- of the server is left alone when nothing is to be done, and for what is known from another database.
-- Names are compared in collation "C", where lower() knows ASCII alone, as the planner does.
WITH RECURSIVE given (document) AS MATERIALIZED (
    SELECT current_setting('cfn_postgres_extensions.wanted')::jsonb
), wanted AS MATERIALIZED (
    SELECT lower((entry ->> 'name') COLLATE "C") AS name, entry ->> 'kind' AS kind,
           (entry ->> 'version') COLLATE "C" AS version
    FROM given, jsonb_array_elements(document -> 'extensions') AS entry
), installed AS MATERIALIZED (
    SELECT e.extname::text COLLATE "C" AS name, e.extversion COLLATE "C" AS version,
           n.nspname AS schema, e.extrelocatable AS relocatable,
           pg_has_role(e.extowner, 'USAGE') AS owned,
           ARRAY(SELECT r.extname::text COLLATE "C"
                 FROM pg_depend AS d JOIN pg_extension AS r ON r.oid = d.refobjid
                 WHERE d.classid = 'pg_extension'::regclass AND d.objid = e.oid
                   AND d.refclassid = 'pg_extension'::regclass) AS requires
    FROM pg_extension AS e JOIN pg_namespace AS n ON n.oid = e.extnamespace
), available AS MATERIALIZED (
    SELECT a.name::text COLLATE "C" AS name, a.default_version COLLATE "C" AS default_version
    FROM pg_available_extensions AS a
), unsettled (name) AS (
    SELECT w.name
    FROM wanted AS w
    WHERE NOT EXISTS (SELECT FROM installed AS i WHERE lower(i.name) = w.name)
       OR EXISTS (
        SELECT FROM available AS a LEFT JOIN installed AS i ON i.name = a.name
        WHERE lower(a.name) = w.name
          AND CASE w.kind WHEN 'any' THEN i.name IS NOT NULL
                          WHEN 'latest' THEN i.version = a.default_version
                          WHEN 'exact' THEN i.version = w.version
                          ELSE starts_with(i.version, w.version)
                               AND i.version !~ 'next|dev|unpackaged' END IS NOT TRUE)
    UNION
    -- What goes with it: the rest of a family that has one version, as PostGIS's has.
    SELECT lower(member.name)
    FROM unsettled AS u
    JOIN installed AS head ON lower(head.name) = u.name
    JOIN installed AS member ON head.name = ANY (member.requires)
                            AND member.version = head.version
), unknown AS MATERIALIZED (
    SELECT FROM unsettled, given
    WHERE NOT document -> 'known' ? name
       -- One database may look for extensions elsewhere than another (18 and later).
       OR EXISTS (SELECT FROM pg_db_role_setting
                  WHERE array_to_string(setconfig, E'\n') ~ '(?n)^extension_control_path=')
), offered AS MATERIALIZED (
    SELECT v.name::text COLLATE "C" AS name, v.version, v.superuser, v.trusted, v.relocatable,
           v.schema, v.requires
    FROM pg_available_extension_versions AS v
    WHERE EXISTS (SELECT FROM unknown)
)
SELECT jsonb_build_object(
    'database', current_database(),
    'server_version', current_setting('server_version'),
    'role', current_user,
    -- Not the setting is_superuser: that is as old as the session, which may be a pooler's.
    'superuser', (SELECT rolsuper FROM pg_roles WHERE rolname = current_user),
    -- A role's name means nothing without its cloud's own settings.
    'delegated', EXISTS (
        SELECT FROM (VALUES ('rds_superuser', 'rds.'), ('azure_pg_admin', 'azure.'),
                            ('cloudsqlsuperuser', 'cloudsql.')) AS cloud (role, prefix)
        WHERE pg_has_role(to_regrole(role), 'MEMBER')
          AND (current_setting(prefix || 'extensions', true) IS NOT NULL
            OR EXISTS (SELECT FROM pg_settings WHERE starts_with(name, prefix)))),
    'may_create', has_database_privilege(current_database(), 'CREATE'),
    'read_only', current_setting('transaction_read_only')::boolean,
    -- To ask for a setting that the role may not see is an error.
    'libraries', CASE
        WHEN pg_has_role('pg_read_all_settings', 'USAGE')
        THEN current_setting('shared_preload_libraries') END,
    'cron_database', CASE
        WHEN pg_has_role('pg_read_all_settings', 'USAGE')
        THEN current_setting('cron.database_name', true) END,
    'rds_extensions', current_setting('rds.extensions', true),
    'rds_allowed_extensions', current_setting('rds.allowed_extensions', true),
    'rds_delegated_extensions', CASE
        WHEN pg_has_role(to_regrole('rds_extension'), 'MEMBER')
        THEN coalesce(current_setting('rds.allowed_delegated_extensions', true), '') END,
    'privileged_extensions', concat_ws(',', current_setting('extwlist.extensions', true),
        current_setting('supautils.privileged_extensions', true)),
    'schemas', coalesce((
        SELECT jsonb_object_agg(nspname, has_schema_privilege(oid, 'CREATE'))
        FROM pg_namespace
        WHERE nspname = 'public' OR given.document -> 'schemas' ? nspname::text
           -- Those that extensions prescribe.
           OR nspname IN (SELECT o.schema FROM offered AS o)), '{}'),
    -- NULL where there is no such schema.
    'home', (/* home.sql */),
    'installed', coalesce((SELECT jsonb_agg(to_jsonb(i)) FROM installed AS i), '[]'),
    'available', coalesce((SELECT jsonb_object_agg(name, default_version) FROM available), '{}'),
    -- All that a name may need: whatever is required by anything. It is little, it costs less than to
    -- follow the requirements, and what is known of a name is enough for any database.
    'offered', CASE WHEN EXISTS (SELECT FROM unknown) THEN coalesce((
        SELECT jsonb_agg(to_jsonb(o)) FROM offered AS o
        WHERE lower(o.name) IN (SELECT u.name FROM unsettled AS u)
           OR lower(o.name) = ANY (ARRAY(
               SELECT lower(unnest(r.requires)::text COLLATE "C") FROM offered AS r))), '[]') END,
    'paths', coalesce((
        SELECT jsonb_agg(jsonb_build_object(
            'name', i.name, 'target', p.target, 'reachable', p.path IS NOT NULL))
        FROM installed AS i
        JOIN unsettled AS u ON u.name = lower(i.name)
        JOIN available AS a ON a.name = i.name
        CROSS JOIN LATERAL pg_extension_update_paths(i.name::name) AS p
        WHERE p.source = i.version), '[]')
) AS details
FROM given
