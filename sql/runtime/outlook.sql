-- Purpose: What a process without work may still wait for.
-- Parameters: runner: this process's runner id
-- Index: job_due, job_running, job_solo
-- Lock order: none
select * from backfill.outlook(%(runner)s)
