-- Purpose: Runs with their numbers and options, the newest first, a page at a time.
-- Parameters: task: its name, or null for all; run: this one, or null for all; status: live, ended, or null for
--   both; before: those with a lower number, or null for all; limit: rows at most
-- Index: run by primary key, runner_by_run
-- Lock order: none
select v.*, r.options
  from backfill.runs v join backfill.run r on r.id = v.run
 where (%(task)s::text is null or v.task = %(task)s)
   and (%(run)s::bigint is null or v.run = %(run)s)
   and (%(status)s::text is null or (v.status = 'ended') = (%(status)s = 'ended'))
   and (%(before)s::bigint is null or v.run < %(before)s)
 order by v.run desc limit %(limit)s
