-- The claims of all resources: one row, one JSON document, read under the lock.
--
-- A row counts while it speaks of this database. Who lists an extension is told by its name; that
-- somebody created it holds for the very one that is there (its oid). Where the schema has another
-- oid than the row says, the table came with a dump: oids mean nothing then, and the name decides.
SELECT coalesce(jsonb_agg(jsonb_build_object(
    'claimant', jsonb_build_object(
        'stack', c.stack, 'logical_id', c.logical_id, 'physical_id', c.physical_id),
    'extension', c.extension,
    'created', c.created AND is_it.so,
    'stale', c.created AND NOT is_it.so,
    'void', c.database <> current_database(),
    'written', c.xmin::text,
    'restored', c.home <> n.oid) ORDER BY c.claimed_at, c.stack, c.logical_id), '[]')::text
FROM cfn_postgres_extensions.claim AS c
JOIN pg_namespace AS n ON n.nspname = 'cfn_postgres_extensions'
LEFT JOIN pg_extension AS e ON e.extname = c.extension
CROSS JOIN LATERAL (SELECT e.oid IS NOT NULL AND (c.home <> n.oid OR c.extension_oid = e.oid)) AS is_it (so)
