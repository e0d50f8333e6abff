-- Purpose: What a process needs to know to work for a run.
-- Parameters: run: the run
-- Index: run and task by primary key
-- Lock order: none
select r.task, r.options, r.status, r.exit_reason, r.standing, r.seats is not null as served, coalesce(r.batch_size, t.batch_size) as batch_size,
       coalesce(r.delay_ms, t.delay_ms) as delay_ms
  from backfill.run r join backfill.task t on t.name = r.task
 where r.id = %(run)s
