-- READ COMMITTED, whatever the role's default: the look must see what was there after the wait.
BEGIN ISOLATION LEVEL READ COMMITTED;
-- Nothing of a user's is found by an unqualified name; temporary objects come last.
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL standard_conforming_strings = on;
SET LOCAL client_min_messages = warning;
SET LOCAL jit = off;
-- The planner expects a hundred times the rows that the look has, and the server clears memory for
-- them. With less than this PostGIS's update paths would not fit. The change gets back what is usual.
SET LOCAL work_mem = '512kB';
-- A little sooner, so that the error says that it was a lock.
SET LOCAL lock_timeout = {lock_ms};
SET LOCAL statement_timeout = {ms};
-- One lock per database for all requests of this product: "cfnpgext" in ASCII.
SELECT pg_advisory_xact_lock(7162533686429448308);
