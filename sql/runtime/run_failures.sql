-- Purpose: Rows that failed for good in one run.
-- Parameters: run: the run; task: its task; limit: rows at most
-- Index: job_failed
-- Lock order: none
select * from backfill.failures where task = %(task)s and run = %(run)s order by failed_at limit %(limit)s
