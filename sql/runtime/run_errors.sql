-- Purpose: Why runs that an error ended could not go on, where the worker that served them told the audit.
-- Parameters: runs: their numbers
-- Index: run by primary key; event_by_task
-- Lock order: none
select r.id as run, r.task, x.why
  from backfill.run r
 cross join lateral (select e.detail ->> 'why' as why from backfill.event e
                      where e.task = r.task and e.run_id = r.id and e.action = 'error' order by e.id desc limit 1) x
 where r.id = any (%(runs)s::bigint[]) and r.exit_reason = 'error'
 order by r.id desc
