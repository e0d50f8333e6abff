-- Purpose: What happened last to a task, in words, the newest last.
-- Parameters: task: its name; limit: lines at most
-- Index: runner_recent_by_task, attempt_error_by_runner, event_by_task
-- Lock order: none
select * from (select a.* from backfill.activity a where a.task = %(task)s order by a.at desc, a.number desc limit %(limit)s) x order by x.at, x.number
