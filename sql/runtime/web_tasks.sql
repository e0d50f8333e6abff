-- Purpose: How far the tasks are, who paused them, and how they are paced.
-- Parameters: task: its name, or null for all
-- Index: task by primary key; partial indexes of job; runner_by_task
-- Lock order: none
select p.*, t.summary, t.version, t.paused_by, t.paused_reason, t.paused_at, t.batch_size, t.delay_ms
  from backfill.progress p join backfill.task t on t.name = p.task
 where %(task)s::text is null or p.task = %(task)s
 order by p.task
