-- Purpose: Say when a schedule is due for the first time.
-- Parameters: name; set_at: when it was set, since it may have been set anew; next: when it is due, or null; note: why never
-- Index: schedule by primary key
-- Lock order: schedule row
select backfill.plan_schedule(%(name)s, %(set_at)s, %(next)s::timestamptz, %(note)s::text) as planned
