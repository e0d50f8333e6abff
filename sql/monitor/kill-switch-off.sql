-- Takes the pauses of sql/monitor/kill-switch.sql back, and no others.
--
--   psql "$DATABASE_URL" -f sql/monitor/kill-switch-off.sql
select t.name as resumed
  from backfill.task t
 cross join lateral backfill.resume(t.name)
 where t.paused_reason = 'kill switch'
 order by t.name;
