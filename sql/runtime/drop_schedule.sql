-- Purpose: Take a schedule away.
-- Parameters: name
-- Index: schedule by primary key
-- Lock order: schedule row, its ticks
select backfill.drop_schedule(%(name)s)
