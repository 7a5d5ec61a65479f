-- What the database holds, and the rights of the role: one JSON document.
--
-- Names are in collation "C", where they compare as the planner compares them.
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
    'has_claim_schema', EXISTS (
        SELECT FROM pg_namespace WHERE nspname = 'cfn_postgres_extensions'),
    'installed', coalesce((
        SELECT jsonb_agg(jsonb_build_object(
            'name', e.extname, 'version', e.extversion, 'schema', n.nspname,
            'relocatable', e.extrelocatable, 'owner', pg_get_userbyid(e.extowner),
            'owned', pg_has_role(e.extowner, 'USAGE'),
            'requires', ARRAY(
                SELECT r.extname
                FROM pg_depend AS d JOIN pg_extension AS r ON r.oid = d.refobjid
                WHERE d.classid = 'pg_extension'::regclass AND d.objid = e.oid
                  AND d.refclassid = 'pg_extension'::regclass))
            ORDER BY e.extname)
        FROM pg_extension AS e JOIN pg_namespace AS n ON n.oid = e.extnamespace), '[]'),
    'available', coalesce((
        SELECT jsonb_object_agg(name, default_version) FROM pg_available_extensions), '{}')
)::text
