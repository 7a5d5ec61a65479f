-- What the server offers of the extensions in $1 (a JSON array of names), and of whatever any extension
-- requires: one JSON document. The view reads every control file of the server: it is asked where
-- something may have to be done.
WITH offered AS MATERIALIZED (
    SELECT name, version, superuser, trusted, schema, requires FROM pg_available_extension_versions
)
SELECT jsonb_build_object(
    -- All that is required by anything is little, and costs less than to follow the requirements.
    'versions', coalesce((
        SELECT jsonb_agg(to_jsonb(o)) FROM offered AS o
        WHERE $1::jsonb ? o.name::text
           OR o.name = ANY (ARRAY(SELECT unnest(r.requires) FROM offered AS r))), '[]'),
    'paths', coalesce((
        SELECT jsonb_agg(jsonb_build_object(
            'name', e.extname, 'target', p.target, 'reachable', p.path IS NOT NULL))
        FROM pg_extension AS e
        -- The function fails for an extension whose files are gone.
        JOIN pg_available_extensions AS a ON a.name = e.extname
        CROSS JOIN LATERAL pg_extension_update_paths(e.extname) AS p
        WHERE $1::jsonb ? e.extname::text AND p.source = e.extversion), '[]'),
    'schemas', (
        SELECT jsonb_object_agg(nspname, has_schema_privilege(oid, 'CREATE'))
        FROM pg_namespace
        WHERE nspname !~ '^pg_(toast|temp)')
)::text
