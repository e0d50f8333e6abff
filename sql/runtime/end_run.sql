-- Purpose: End a run that none of its processes ended. One that workers serve goes on where it was this
--   process that stopped, or failed.
-- Parameters: run: the run; reason: why
-- Index: run by primary key
-- Lock order: run row, job rows of its own lane
select backfill.end_run(r.id, %(reason)s) from backfill.run r
 where r.id = %(run)s and (r.seats is null or %(reason)s in ('done', 'limit', 'budget', 'cancelled'))
