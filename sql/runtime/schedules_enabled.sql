-- Purpose: The schedules that are to be fired, and what time it is.
-- Parameters: none
-- Index: none (a small table)
-- Lock order: none
select name, task, options, cron, timezone, planned, next_at, set_at, clock_timestamp() as now from backfill.schedule where enabled order by next_at, name
