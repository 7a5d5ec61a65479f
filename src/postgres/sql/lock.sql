-- READ COMMITTED, whatever the role's default: what is read is what was there after the wait.
BEGIN ISOLATION LEVEL READ COMMITTED;
SET LOCAL standard_conforming_strings = on;
SET LOCAL client_min_messages = warning;
-- A short query over many rows by the planner's estimate is compiled for longer than it runs.
SET LOCAL jit = off;
-- One lock per database for all requests of this product: "cfnpgext" in ASCII.
SELECT pg_advisory_xact_lock(7162533686429448308);
