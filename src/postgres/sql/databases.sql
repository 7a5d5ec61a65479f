-- The databases that `*` means. Each provider keeps one for itself, which nobody else is let into.
-- A name is whatever bytes its owner gave it: they come as they are, in hexadecimal digits.
SELECT pg_catalog.encode(
    pg_catalog.replace(datname::pg_catalog.text, E'\\', E'\\\\')::pg_catalog.bytea, 'hex')
FROM pg_catalog.pg_database
WHERE datallowconn AND NOT datistemplate
  AND NOT datname OPERATOR(pg_catalog.=)
      ANY ('{rdsadmin,cloudsqladmin,azure_maintenance}'::pg_catalog.name[])
ORDER BY datname
