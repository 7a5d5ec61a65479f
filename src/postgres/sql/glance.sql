-- Whether all is there as it is wanted: then that is the whole look. Else details.sql tells.
--
-- The setting cfn_postgres_extensions.wanted has what the template wants, as JSON. Its "plain" has the
-- names and exact versions, and "any" the names of which any version will do; "plain" is null where
-- more than that has to be looked at.
--
-- The server plans details.sql, and the part of it that is home.sql, only when it runs them, since it
-- gets them as texts: query_to_xml() is its one function that runs a text without a procedural
-- language. The session's search_path is pg_catalog: nothing of a user's is found.
SELECT CASE
    WHEN NOT has_home AND installed @> (wanted -> 'plain')
     AND installed ?& ARRAY(SELECT jsonb_array_elements_text(wanted -> 'any'))
    THEN jsonb_build_object(
        'database', current_database(),
        'server_version', current_setting('server_version'),
        'plain', installed)::text
    ELSE replace(replace(replace(
        substring(
            query_to_xml(
                replace({details},
                    '/* home.sql */', CASE WHEN has_home THEN {home} ELSE 'NULL' END),
                false, true, '')::text,
            '<details>(.*)</details>'),
        '&lt;', '<'), '&gt;', '>'), '&amp;', '&')
    END
FROM (
    SELECT coalesce(jsonb_object_agg(extname, extversion), '{}') AS installed,
           EXISTS (SELECT FROM pg_namespace WHERE nspname = 'cfn_postgres_extensions') AS has_home,
           current_setting('cfn_postgres_extensions.wanted')::jsonb AS wanted
    FROM pg_extension
) AS glance
