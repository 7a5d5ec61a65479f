SELECT coalesce(jsonb_agg(jsonb_build_array(extname, extversion, nspname) ORDER BY extname), '[]')
FROM pg_extension JOIN pg_namespace AS n ON n.oid = extnamespace
