-- The claims of all resources: one row, one JSON document, read under the lock.
--
-- A row counts while it speaks of this database and of the very extension that is there (its oid).
-- Where the schema has another oid than the row says, the table came with a dump, or through
-- pg_upgrade: oids mean nothing then, and the name decides.
SELECT coalesce(jsonb_agg(jsonb_build_object(
    'claimant', jsonb_build_object(
        'stack', c.stack, 'logical_id', c.logical_id, 'physical_id', c.physical_id),
    'extension', c.extension,
    'created', c.created,
    'void', c.database <> current_database() OR e.oid IS NULL
        OR (c.home = n.oid AND c.extension_oid <> e.oid),
    'restored', c.home <> n.oid) ORDER BY c.claimed_at, c.stack, c.logical_id), '[]')::text
FROM cfn_postgres_extensions.claim AS c
JOIN pg_namespace AS n ON n.nspname = 'cfn_postgres_extensions'
LEFT JOIN pg_extension AS e ON e.extname = c.extension
