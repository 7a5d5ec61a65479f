-- Where the claims are: a schema of that name, which may be anybody's. A part of details.sql.
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
WHERE n.nspname = 'cfn_postgres_extensions'
