-- What the database holds and what its server offers: one row, one JSON document, one look.
--
-- $1 is what the template wants, as JSON: {"extensions": [{"name", "kind", "version"}], "schemas": []}.
-- It only decides how much is looked up: the views that read every control file of the server are
-- left alone when nothing is to be done. Names are compared in collation "C", where lower() knows
-- ASCII alone, as the planner does. The session's search_path is pg_catalog: nothing of a user's
-- is found here.
WITH RECURSIVE wanted AS MATERIALIZED (
    SELECT lower((entry ->> 'name') COLLATE "C") AS name, entry ->> 'kind' AS kind,
           (entry ->> 'version') COLLATE "C" AS version
    FROM jsonb_array_elements($1::jsonb -> 'extensions') AS entry
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
), offered AS MATERIALIZED (
    SELECT v.name::text COLLATE "C" AS name, v.version, v.superuser, v.trusted, v.relocatable,
           v.schema, v.requires
    FROM pg_available_extension_versions AS v
    WHERE EXISTS (SELECT FROM unsettled)
), needed (name) AS (
    SELECT named.name
    FROM unsettled AS u, unnest(ARRAY[
        u.name, CASE WHEN u.name = 'postgis' THEN 'postgis_raster' END]) AS named (name)
    WHERE named.name IS NOT NULL
    UNION
    SELECT lower(requirement::text COLLATE "C")
    FROM needed AS n JOIN offered AS o ON lower(o.name) = n.name, unnest(o.requires) AS requirement
)
SELECT jsonb_build_object(
    'database', current_database(),
    'server_version', current_setting('server_version'),
    'role', current_user,
    'superuser', (SELECT rolsuper FROM pg_roles WHERE rolname = current_user),
    'delegated', EXISTS (
        SELECT FROM pg_roles
        WHERE rolname IN ('rds_superuser', 'azure_pg_admin', 'cloudsqlsuperuser')
          AND pg_has_role(oid, 'MEMBER')),
    'may_create', has_database_privilege(current_database(), 'CREATE'),
    'raster_inside', EXISTS (
        SELECT FROM pg_extension AS e
        JOIN pg_depend AS d ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
                           AND d.classid = 'pg_type'::regclass AND d.deptype = 'e'
        JOIN pg_type AS t ON t.oid = d.objid
        WHERE e.extname = 'postgis' AND t.typname = 'raster'),
    'read_only', current_setting('transaction_read_only')::boolean,
    'libraries', CASE
        WHEN pg_has_role('pg_read_all_settings', 'USAGE')
          OR (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)
        THEN current_setting('shared_preload_libraries') END,
    'rds_extensions', current_setting('rds.extensions', true),
    'rds_allowed_extensions', current_setting('rds.allowed_extensions', true),
    'rds_delegated_extensions', CASE
        WHEN EXISTS (SELECT FROM pg_roles
                     WHERE rolname = 'rds_extension' AND pg_has_role(oid, 'MEMBER'))
        THEN coalesce(current_setting('rds.allowed_delegated_extensions', true), '') END,
    'cron_database', current_setting('cron.database_name', true),
    'schemas', coalesce((
        SELECT jsonb_object_agg(nspname, has_schema_privilege(oid, 'CREATE'))
        FROM pg_namespace
        WHERE nspname = 'public' OR $1::jsonb -> 'schemas' ? nspname::text), '{}'),
    -- Where the claims are, or would be; a schema of that name may be anybody's.
    'home', (
        SELECT jsonb_build_object(
            'owner', pg_get_userbyid(coalesce(stranger.oid, n.nspowner)),
            'trusted', stranger.oid IS NULL,
            'table', c.oid IS NOT NULL,
            'ours', coalesce(c.relkind = 'r' AND NOT c.relrowsecurity AND NOT c.relhastriggers
                AND NOT c.relhasrules AND ARRAY(
                SELECT attname::text FROM pg_attribute
                WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped ORDER BY attnum
            ) = '{stack,logical_id,physical_id,extension,created,extension_oid,home,database,
                  claimed_at}'::text[], false),
            'readable', has_schema_privilege(n.oid, 'USAGE')
                AND coalesce(has_table_privilege(c.oid, 'SELECT'), true),
            'writable', CASE WHEN c.oid IS NULL THEN has_schema_privilege(n.oid, 'CREATE')
                ELSE has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'INSERT')
                 AND has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE')
                END,
            'owned', pg_has_role(n.nspowner, 'USAGE')
                AND coalesce(pg_has_role(c.relowner, 'USAGE'), true)
                AND NOT EXISTS (
                    SELECT FROM pg_depend AS d JOIN pg_type AS row ON row.oid = c.reltype
                    WHERE d.deptype = 'n' AND (d.refclassid, d.refobjid) IN (
                        ('pg_class'::regclass, c.oid), ('pg_type'::regclass, row.oid),
                        ('pg_type'::regclass, row.typarray))),
            'alone', NOT EXISTS (
                SELECT FROM pg_depend AS d
                WHERE d.refclassid = 'pg_namespace'::regclass AND d.refobjid = n.oid
                  AND (d.classid, d.objid) IS DISTINCT FROM ('pg_class'::regclass, c.oid)))
        FROM pg_namespace AS n
        LEFT JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relname = 'claim'
        LEFT JOIN LATERAL (
            SELECT r.oid FROM pg_roles AS r
            WHERE r.oid IN (n.nspowner, c.relowner)
              -- A database's owner can have everybody who enters take a role of his: code of his
              -- that runs then could take our own again.
              AND (r.rolname <> current_user OR EXISTS (
                SELECT FROM pg_db_role_setting AS s JOIN pg_database AS d ON d.oid = s.setdatabase
                WHERE d.datname = current_database() AND s.setrole = 0
                  AND array_to_string(s.setconfig, E'\n') ~ '(?n)^(role|session_authorization)='))
              -- Where we are a superuser, a stand-in for one is only a name.
              AND NOT r.rolsuper AND NOT EXISTS (
                SELECT FROM pg_roles AS s JOIN pg_roles AS us ON us.rolname = current_user
                WHERE NOT us.rolsuper
                  AND s.rolname IN ('rds_superuser', 'azure_pg_admin', 'cloudsqlsuperuser')
                  AND pg_has_role(r.oid, s.oid, 'MEMBER'))
            LIMIT 1) AS stranger ON true
        WHERE n.nspname = 'cfn_postgres_extensions'),
    'installed', coalesce((SELECT jsonb_agg(to_jsonb(i)) FROM installed AS i), '[]'),
    'available', coalesce((SELECT jsonb_object_agg(name, default_version) FROM available), '{}'),
    'offered', CASE WHEN EXISTS (SELECT FROM unsettled) THEN coalesce((
        SELECT jsonb_agg(to_jsonb(o)) FROM offered AS o
        WHERE lower(o.name) IN (SELECT n.name FROM needed AS n)), '[]') END,
    'paths', coalesce((
        SELECT jsonb_agg(jsonb_build_object(
            'name', i.name, 'target', p.target, 'reachable', p.path IS NOT NULL))
        FROM installed AS i
        JOIN unsettled AS u ON u.name = lower(i.name)
        JOIN available AS a ON a.name = i.name
        CROSS JOIN LATERAL pg_extension_update_paths(i.name::name) AS p
        WHERE p.source = i.version), '[]')
)::text
