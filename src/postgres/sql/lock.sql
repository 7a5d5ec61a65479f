-- READ COMMITTED, whatever the role's default: the look must see what was there after the wait.
BEGIN ISOLATION LEVEL READ COMMITTED;
SET LOCAL standard_conforming_strings = on;
SET LOCAL client_min_messages = warning;
SET LOCAL jit = off;
-- The planner expects a hundred times the rows that the look has, and the server clears memory for
-- them. With less than this PostGIS's update paths would not fit. The change gets back what is usual.
SET LOCAL work_mem = '512kB';
-- One lock per database for all requests of this product: "cfnpgext" in ASCII.
SELECT pg_advisory_xact_lock(7162533686429448308);
