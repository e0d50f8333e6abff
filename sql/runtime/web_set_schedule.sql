-- Purpose: Set a schedule, a new one or one that is there.
-- Parameters: name, task, cron, options, timezone: see the function
-- Index: schedule by primary key
-- Lock order: schedule row
select backfill.set_schedule(%(name)s, %(task)s, %(cron)s, %(options)s::jsonb, %(timezone)s)
