-- The last 20 runs: who started what, how it ended, what it did.
--
--   psql "$DATABASE_URL" -f sql/monitor/runs.sql
select run, task, coalesce(exit_reason, status) as status, requested_by, source, started_at,
       date_trunc('second', elapsed) as elapsed, found, processed, ok, nothing_found, skipped, failed,
       retried, processes, processes_lost as lost
  from backfill.runs
 order by run desc
 limit 20;
