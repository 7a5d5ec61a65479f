-- Whether all is there as it is wanted: then that is the whole look. Else details.sql tells.
--
-- $1 is what the template wants, as JSON. Its "plain" has the names and exact versions, and $4 the
-- names of which any version will do; "plain" is null where more than that has to be looked at.
--
-- $2 is the text of details.sql, and $3 of a part of it, home.sql. The server
-- plans them only when it runs them, since it gets them as texts: query_to_xml() is its one function
-- that runs a text without a procedural language. It takes no parameters, so $1 waits in a setting of
-- ours. The session's search_path is pg_catalog: nothing of a user's is found.
SELECT CASE
    WHEN NOT has_home AND installed @> ($1::jsonb -> 'plain') AND installed ?& $4
    THEN jsonb_build_object(
        'database', current_database(),
        'server_version', current_setting('server_version'),
        'plain', installed)::text
    ELSE replace(replace(replace(
        substring(
            query_to_xml(
                replace(replace($2,
                    '/* home.sql */', CASE WHEN has_home THEN $3 ELSE 'NULL' END),
                    '$1', 'current_setting(''cfn_postgres_extensions.wanted'')')
                    || left(set_config('cfn_postgres_extensions.wanted', $1, true), 0),
                false, true, '')::text,
            '<details>(.*)</details>'),
        '&lt;', '<'), '&gt;', '>'), '&amp;', '&')
    END
FROM (
    SELECT coalesce(jsonb_object_agg(extname, extversion), '{}') AS installed,
           EXISTS (SELECT FROM pg_namespace WHERE nspname = 'cfn_postgres_extensions') AS has_home
    FROM pg_extension
) AS glance
