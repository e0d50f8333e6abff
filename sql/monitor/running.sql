-- What is going on now: processes that gave no sign of life, then the rows held longest, by whom.
--
--   psql "$DATABASE_URL" -f sql/monitor/running.sql
select task, host, pid, run, jobs_held, date_trunc('second', silent_for) as silent_for, reason
  from backfill.stalled
 order by silent_for desc;

select task, key, attempt, alone, host, pid, run, held_for, last_heartbeat
  from backfill.running
 order by held_for desc
 limit 20;
