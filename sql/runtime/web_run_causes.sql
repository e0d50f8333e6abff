-- Purpose: Rows that failed for good in one run, by cause.
-- Parameters: run: the run
-- Index: run by primary key, job_failed
-- Lock order: none
select f.error_class, count(*) as rows, min(f.error_message) as example_message
  from backfill.run r join backfill.failures f on f.task = r.task and f.run = r.id
 where r.id = %(run)s
 group by f.error_class order by rows desc, f.error_class
