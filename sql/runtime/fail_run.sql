-- Purpose: Tell that a worker could not work for a run.
-- Parameters: run: its number; why: in words
-- Index: run by primary key, runner_by_run
-- Lock order: run row
select backfill.fail_run(%(run)s, %(why)s)
