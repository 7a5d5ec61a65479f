-- Who holds the lock of lock.sql, in words. A transaction that was prepared has no session.
SELECT CASE
    WHEN l.pid IS NULL
    THEN 'a prepared transaction holds it: `pg_prepared_xacts` has its name, and ROLLBACK PREPARED ends it'
    ELSE format('role `%s` holds it (pid %s, application `%s`): if that is no request of this kind, '
        'end it there with `SELECT pg_terminate_backend(%s)`',
        a.usename, l.pid, coalesce(nullif(a.application_name, ''), 'not known'), l.pid)
    END
FROM pg_locks AS l
LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND (l.classid::bigint << 32) + l.objid::bigint = 7162533686429448308
LIMIT 1
