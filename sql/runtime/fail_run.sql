-- Purpose: Tell that a worker could not work for a run.
-- Parameters: run, worker: their numbers; why: in words
-- Index: run by primary key, runner_by_run
-- Lock order: run row
select backfill.fail_run(%(run)s, %(worker)s, %(why)s)
