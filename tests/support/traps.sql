-- Everything of pg_catalog once more in the schema `trap`. Whatever runs there leaves its number in the
-- sequence `trap.sprung`, which no rollback takes back; `trap.made` says whose it is.
CREATE SCHEMA trap;
GRANT USAGE ON SCHEMA trap TO PUBLIC;
CREATE SEQUENCE trap.sprung;
GRANT ALL ON SEQUENCE trap.sprung TO PUBLIC;
CREATE TABLE trap.made (number bigint GENERATED ALWAYS AS IDENTITY, kind text, name text);
CREATE FUNCTION trap.spring(bigint) RETURNS boolean LANGUAGE plpgsql
    AS $$ BEGIN PERFORM pg_catalog.setval('trap.sprung', $1); RETURN true; END $$;
SET check_function_bodies = off;
DO $do$
DECLARE
    it record;
    body text := 'LANGUAGE plpgsql AS $body$ BEGIN PERFORM trap.spring({}); RETURN %s; END $body$';
    number bigint;
BEGIN
    FOR it IN
        SELECT 'function' AS kind, p.oid::regprocedure::text AS name, format(
            'CREATE FUNCTION trap.%I(%s) RETURNS %s ' || body, p.proname,
            pg_get_function_arguments(p.oid),
            coalesce(pg_get_function_result(p.oid), p.prorettype::regtype::text),
            CASE WHEN p.proretset OR p.prorettype = 'void'::regtype OR p.proargmodes && '{o,b,t}'
                 THEN '' ELSE 'NULL' END) AS make
        FROM pg_proc AS p WHERE p.pronamespace = 'pg_catalog'::regnamespace
        UNION ALL
        SELECT 'operator', o.oid::regoperator::text, format(
            'CREATE FUNCTION trap.%I(%s) RETURNS %s ' || body || '; CREATE OPERATOR trap.%s '
            || '(FUNCTION = trap.%I, %sRIGHTARG = %s)',
            'operator ' || o.oid, concat_ws(', ', nullif(o.oprleft, 0)::regtype, o.oprright::regtype),
            o.oprresult::regtype, 'NULL', o.oprname, 'operator ' || o.oid,
            'LEFTARG = ' || nullif(o.oprleft, 0)::regtype || ', ', o.oprright::regtype)
        FROM pg_operator AS o
        WHERE o.oprnamespace = 'pg_catalog'::regnamespace AND o.oprright <> 0 AND o.oprresult <> 0
        UNION ALL
        -- Where it has no rows it is sprung all the same.
        SELECT 'view', c.relname, format(
            'CREATE VIEW trap.%I AS SELECT it.* FROM (SELECT trap.spring({}) OFFSET 0) AS sprung '
            || 'LEFT JOIN pg_catalog.%1$I AS it ON true; GRANT SELECT ON trap.%1$I TO PUBLIC', c.relname)
        FROM pg_class AS c
        WHERE c.relnamespace = 'pg_catalog'::regnamespace AND c.relkind IN ('r', 'v')
        UNION ALL
        SELECT 'type', t.typname, format(
            'CREATE DOMAIN trap.%I AS pg_catalog.%1$I CHECK (trap.spring({}))', t.typname)
        FROM pg_type AS t
        WHERE t.typnamespace = 'pg_catalog'::regnamespace AND t.typtype = 'b' AND t.typname !~ '^_'
    LOOP
        BEGIN
            INSERT INTO trap.made (kind, name) VALUES (it.kind, it.name)
                RETURNING made.number INTO number;
            EXECUTE replace(it.make, '{}', number::text);
        EXCEPTION WHEN OTHERS THEN
            -- It cannot be made by a user: it takes or gives a type that only the server's own do.
            NULL;
        END;
    END LOOP;
END $do$;
RESET check_function_bodies;
