-- Purpose: Rows of a run that failed, are to be tried again and are not due yet.
-- Parameters: run: the run
-- Index: job_due
-- Lock order: none
select count(*) as later
  from backfill.run r
  join backfill.job j on j.task = r.task and j.lane in (0, r.lane) and j.state = 'ready'
       and j.run_after > clock_timestamp() and j.run_id = r.id and j.failures > 0
 where r.id = %(run)s
