-- Purpose: Runs before one, the newest first.
-- Parameters: task: its name, or null for all; before: a run's number, or null; limit: rows at most
-- Index: run by primary key
-- Lock order: none
select * from backfill.runs
 where (%(task)s::text is null or task = %(task)s) and (%(before)s::bigint is null or run < %(before)s)
 order by run desc limit %(limit)s
