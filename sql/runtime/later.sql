-- Purpose: Rows that a run had in hand and that wait for another try: how many, how long the first, and why it.
-- Parameters: run: the run
-- Index: job_due
-- Lock order: none
select count(*) as later, min(j.run_after) - clock_timestamp() as first_in,
       (array_agg(j.error_message order by j.run_after))[1] as why
  from backfill.run r
  join backfill.job j on j.task = r.task and j.lane in (0, r.lane) and j.state = 'ready'
       and j.run_after > clock_timestamp() and j.run_id = r.id
 where r.id = %(run)s
