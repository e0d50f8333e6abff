-- Stop everything: pauses every task, on every process of every host, from its next claim on.
--
--   psql "$DATABASE_URL" -f sql/monitor/kill-switch.sql
--
-- Rows that processes hold at this moment are finished; nothing is lost. Tasks that somebody had
-- paused before keep that pause. sql/monitor/kill-switch-off.sql takes back what this did, and
-- nothing else. Each pause is in the audit: select * from backfill.event order by id desc;
select t.name as paused
  from backfill.task t
 cross join lateral backfill.pause(t.name, 'kill switch')
 where t.paused_at is null
 order by t.name;
