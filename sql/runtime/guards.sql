-- Purpose: What guards there are, and what they do.
-- Parameters: guard: its name, null for all; task: those that hold for it, null for all
-- Index: guard, guard_reading: few rows
-- Lock order: none
select * from backfill.guards
 where (%(guard)s::text is null or name = %(guard)s)
   and (%(task)s::text is null or task is null or task = %(task)s)
 order by name
