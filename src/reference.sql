SET search_path = pg_catalog, pg_temp;
SELECT jsonb_agg(jsonb_build_array(extname, extversion) ORDER BY extname) FROM pg_extension
