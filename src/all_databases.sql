-- Templates too: `template1` takes extensions like any other. Each provider keeps one database for
-- itself, which nobody else is let into.
SELECT datname::text
FROM pg_catalog.pg_database
WHERE datallowconn AND pg_catalog.has_database_privilege(oid, 'CONNECT')
  AND datname NOT IN ('rdsadmin', 'cloudsqladmin', 'azure_maintenance')
ORDER BY datname
