-- Purpose: Is anything standing still that should move?
-- Parameters: none
-- Index: runner_live, job_running, run_not_ended
-- Lock order: none
select 'warn' as level, format('%s: process %s on %s is %s (silent for %s, holding %s)', s.task, s.pid, s.host,
              split_part(s.reason, ';', 1), date_trunc('second', s.silent_for), s.jobs_held) as what,
       'its jobs come back by themselves with the next process, or at once by: select * from backfill.rescue()' as advice
  from backfill.stalled s
union all
select 'warn', format('%s: run %s has no process (%s for %s)', r.task, r.run, r.status, date_trunc('second', r.elapsed)),
       format('end it: backfill cancel %s', r.run)
  from backfill.runs r
 where r.status <> 'ended' and r.processes = 0 and r.elapsed > interval '2 minutes'
union all
select 'warn', format('%s is paused by %s since %s%s', t.name, t.paused_by, to_char(t.paused_at, 'YYYY-MM-DD HH24:MI'),
              coalesce(': ' || t.paused_reason, '')),
       format('when it may go on: backfill resume %s', t.name)
  from backfill.task t
 where t.paused_at is not null
