-- Purpose: Whether the schema has what the web server needs.
-- Parameters: none
-- Index: none
-- Lock order: none
select to_regprocedure('backfill.authenticate(bytea)') is not null as ready
