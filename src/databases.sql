-- The databases that `*` means. Each provider keeps one for itself, which nobody else is let into.
SELECT datname
FROM pg_catalog.pg_database
WHERE datallowconn AND NOT datistemplate
  AND NOT datname OPERATOR(pg_catalog.=)
      ANY ('{rdsadmin,cloudsqladmin,azure_maintenance}'::pg_catalog.name[])
ORDER BY datname
