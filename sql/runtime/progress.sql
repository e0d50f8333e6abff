-- Purpose: How far the tasks are.
-- Parameters: task: its name, or null for all
-- Index: partial indexes of job; runner_by_task
-- Lock order: none
select * from backfill.progress where %(task)s::text is null or task = %(task)s order by task
