-- Purpose: Have a schedule fired, or no longer.
-- Parameters: name; enabled: true or false
-- Index: schedule by primary key
-- Lock order: schedule row
select backfill.enable_schedule(%(name)s, %(enabled)s)
