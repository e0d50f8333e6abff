-- Purpose: Take a schedule away.
-- Parameters: name: the schedule
-- Index: schedule by primary key
-- Lock order: schedule row
select backfill.drop_schedule(%(name)s)
