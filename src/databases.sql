-- Each provider keeps one database for itself, which nobody else is let into.
SELECT datname::text
FROM pg_catalog.pg_database
WHERE datallowconn AND NOT datistemplate
  AND datname NOT IN ('rdsadmin', 'cloudsqladmin', 'azure_maintenance')
ORDER BY datname
