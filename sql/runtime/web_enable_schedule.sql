-- Purpose: Let a schedule start runs, or not for now.
-- Parameters: name: the schedule; enabled: whether it starts runs
-- Index: schedule by primary key
-- Lock order: schedule row
select backfill.enable_schedule(%(name)s, %(enabled)s)
