-- Purpose: Enqueue the next chunk of rows that need work.
-- Parameters: run: the run; chunk: rows of the needs view at most; vouched: the condition that the task's own code has for it, or null
-- Index: the needs view by its native key; job by (task, key)
-- Lock order: sweep row (skip locked), job rows (skip locked), tally row
select * from backfill.discover(%(run)s, %(chunk)s, %(vouched)s::text)
