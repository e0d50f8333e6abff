-- Purpose: How fast the tasks go.
-- Parameters: task: its name, or null for all
-- Index: runner_minute_by_task
-- Lock order: none
select * from backfill.throughput where %(task)s::text is null or task = %(task)s order by task
