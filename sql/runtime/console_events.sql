-- Purpose: The audit before one of its rows, the newest first.
-- Parameters: task: its name, or null for all; run: a run, or null for all; before: a row's id, or null; limit: rows at most
-- Index: event by primary key
-- Lock order: none
select * from backfill.event
 where (%(task)s::text is null or task = %(task)s) and (%(run)s::bigint is null or run_id = %(run)s)
   and (%(before)s::bigint is null or id < %(before)s)
 order by id desc limit %(limit)s
