-- Purpose: Give back the jobs of processes that died.
-- Parameters: none
-- Index: runner_live, job_running
-- Lock order: runner rows (update, skip locked), job rows, run row
select * from backfill.rescue()
