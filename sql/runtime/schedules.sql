-- Purpose: What schedules there are, when they are due, and what came of the last time.
-- Parameters: name: one of them, null for all; task: those of it, null for all
-- Index: none (a small table); tick by primary key
-- Lock order: none
select * from backfill.schedules
 where (%(name)s::text is null or name = %(name)s)
   and (%(task)s::text is null or task = %(task)s)
 order by name
