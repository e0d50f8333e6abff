-- Purpose: Give back the jobs of processes that died.
-- Parameters: grace: silence after which a process is looked at
-- Index: runner_live, job_running
-- Lock order: runner rows (update, skip locked), job rows, run row
select * from backfill.rescue(%(grace)s::interval)
