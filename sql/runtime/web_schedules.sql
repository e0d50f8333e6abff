-- Purpose: Schedules, when each is due next, and what came of its last tick.
-- Parameters: task, name: only of these, or null for all
-- Index: schedule by primary key
-- Lock order: none
select s.*, greatest(extract(epoch from clock_timestamp() - s.next_at), 0)::double precision as late_s
  from backfill.schedules s
 where (%(task)s::text is null or task = %(task)s) and (%(name)s::text is null or name = %(name)s)
 order by name
