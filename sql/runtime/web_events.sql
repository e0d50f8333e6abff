-- Purpose: The audit, the newest first, a page at a time.
-- Parameters: task, action, run: only of these, or null for all; before: those with a lower number, or null for all;
--   limit: rows at most
-- Index: event by primary key
-- Lock order: none
select e.id, e.at, e.who, e.token, e.via, e.action, e.task, e.run_id as run, e.detail
  from backfill.event e
 where (%(task)s::text is null or e.task = %(task)s)
   and (%(action)s::text is null or e.action = %(action)s)
   and (%(run)s::bigint is null or e.run_id = %(run)s)
   and (%(before)s::bigint is null or e.id < %(before)s)
 order by e.id desc limit %(limit)s
