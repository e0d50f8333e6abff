-- Purpose: Set a schedule, a new one or one of that name anew.
-- Parameters: name; task; cron; options: of its runs; zone: time zone
-- Index: schedule by primary key
-- Lock order: schedule row
select backfill.set_schedule(%(name)s, %(task)s, %(cron)s, %(options)s, %(zone)s)
