-- Purpose: The schedules that are to be fired by this login, and what time it is. One whose condition is of another
--   login's is left to workers of that, where there are any.
-- Parameters: none
-- Index: none (a small table)
-- Lock order: none
select name, task, options, cron, timezone, planned, next_at, set_at, clock_timestamp() as now from backfill.schedule s
 where s.enabled
   and (nullif(btrim(s.options ->> 'where'), '') is null or s.condition_by = session_user
        or not exists (select from backfill.worker w where w.status = 'live' and format('seat:%%s:%%s', s.task, s.condition_by) = any (w.serves)))
 order by next_at, name
