-- Purpose: Cancel a run.
-- Parameters: run: the run
-- Index: run by primary key
-- Lock order: run row
select backfill.cancel(%(run)s) as status
