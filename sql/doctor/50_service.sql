-- Purpose: Is what a team leaves running well: guards, live rows, schedules, workers, webhooks, tokens?
-- Parameters: none
-- Index: guard, input, schedule and webhook by name; run_not_ended
-- Lock order: none
select 'warn' as level, format('guard %s can''t be measured: %s', g.name, g.error) as what,
       format('it %s meanwhile; see select * from backfill.guards', case g.on_failure when 'hold' then 'holds every process' else 'is passed over' end) as advice
  from backfill.guards g
 where g.error is not null
union all
select 'warn', format('live rows of %s: %s: %s', w.task, w.relation, w.reason),
       case when w.waiting > 0 then 'run: backfill worker' else format('run: backfill watch %s', w.task) end
  from backfill.watches w
 where w.since is not null and w.reason is not null
union all
select 'warn', format('schedule %s of %s: %s', s.name, s.task, s.note), 'change it with: backfill schedule add, or an update of backfill.schedule'
  from backfill.schedules s
 where s.enabled and s.note is not null
union all
select 'warn', format('%s: %s', p.task, p.wait_reason), 'start one where it can reach this database: backfill worker'
  from backfill.progress p
 where p.wait_reason like 'waits for a worker%'
union all
select 'warn', format('webhook %s: %s', h.name, h.note), format('mend its receiver, then: backfill hook set %s --enable', h.name)
  from backfill.webhooks h
 where h.note is not null
union all
select 'warn', format('%s deliveries of webhook %s wait, the first since %s', h.waiting, h.name, to_char(h.next_at, 'YYYY-MM-DD HH24:MI')),
       'workers deliver: backfill worker'
  from backfill.webhooks h
 where h.waiting > 0 and h.next_at < clock_timestamp() - interval '5 minutes'
