-- Purpose: Hours in which tasks may run.
-- Parameters: task: its name, null for all
-- Index: none (a small table)
-- Lock order: none
select * from backfill.windows where %(task)s::text is null or task = %(task)s order by task
