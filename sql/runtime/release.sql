-- Purpose: Hand back what this process claimed, but for the jobs to keep.
-- Parameters: runner: this process's runner id; keep: ids of jobs that it still works on
-- Index: job_running
-- Lock order: runner row (key share), job rows
select backfill.release(%(runner)s, %(keep)s::bigint[]) as released
