-- Where the claims are: a schema of that name, which may be anybody's. One JSON document, or no row.
SELECT jsonb_build_object(
    'owner', pg_get_userbyid(coalesce(untrusted_owner.oid, n.nspowner)),
    'trusted', untrusted_owner.oid IS NULL,
    'table', c.oid IS NOT NULL,
    -- As COLUMNS in statement.rs, and nothing else that could run anybody's code.
    'ours', coalesce(c.relkind = 'r' AND c.relpersistence = 'p' AND c.reloftype = 0
        AND NOT c.relrowsecurity AND NOT c.relforcerowsecurity
        AND NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = c.oid)
        AND NOT EXISTS (SELECT FROM pg_rewrite WHERE ev_class = c.oid)
        AND NOT EXISTS (SELECT FROM pg_inherits WHERE c.oid IN (inhrelid, inhparent))
        AND NOT EXISTS (SELECT FROM pg_index WHERE indrelid = c.oid AND NOT indisprimary)
        -- PostgreSQL 18 keeps NOT NULL there too. Only default operators make a primary key.
        AND ARRAY(SELECT concat(contype, conkey, condeferrable) FROM pg_constraint
                  WHERE conrelid = c.oid AND contype <> 'n') = ARRAY['p{1,2,3,4}f']
        AND ARRAY(
            SELECT concat_ws(' ', a.attname, a.atttypid::regtype,
                CASE WHEN a.attnotnull THEN 'not null' END,
                CASE WHEN a.attcollation <> t.typcollation THEN 'collate' END,
                nullif(concat(a.attgenerated, a.attidentity), ''),
                pg_get_expr(d.adbin, d.adrelid))
            FROM pg_attribute AS a JOIN pg_type AS t ON t.oid = a.atttypid
            LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
            WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
        ) = '{stack text not null,logical_id text not null,physical_id text not null,
              extension text not null,created boolean not null,extension_oid oid not null,
              home oid not null,database text not null,
              claimed_at timestamp with time zone not null now()}'::text[], false),
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
          AND (d.classid, d.objid) IS DISTINCT FROM ('pg_class'::regclass, c.oid)))::text
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
      -- Where we are a superuser, a stand-in for one is only a name; so it is without its cloud's own
      -- settings. Those that nobody but the server's owner can make are in pg_settings, or in the
      -- server's configuration: not in what a database or a role sets.
      AND NOT r.rolsuper AND NOT EXISTS (
        SELECT FROM pg_roles AS us
        CROSS JOIN (VALUES ('rds_superuser', 'rds.'), ('azure_pg_admin', 'azure.'),
                           ('cloudsqlsuperuser', 'cloudsql.')) AS cloud (role, prefix)
        JOIN pg_roles AS s ON s.rolname = cloud.role
        WHERE us.rolname = current_user AND NOT us.rolsuper AND pg_has_role(r.oid, s.oid, 'MEMBER')
          AND (EXISTS (SELECT FROM pg_settings AS it WHERE starts_with(it.name, prefix))
            OR current_setting(prefix || 'extensions', true) IS NOT NULL AND NOT EXISTS (
                SELECT FROM pg_db_role_setting AS it
                LEFT JOIN pg_database AS d ON d.oid = it.setdatabase
                WHERE coalesce(d.datname = current_database(), true)
                  AND array_to_string(it.setconfig, E'\n') ~* ('(?n)^' || prefix || 'extensions='))))
    LIMIT 1) AS untrusted_owner ON true
WHERE n.nspname = 'cfn_postgres_extensions'
