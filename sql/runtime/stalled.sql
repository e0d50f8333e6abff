-- Purpose: Processes that give no sign of life.
-- Parameters: task: its name, or null for all
-- Index: runner_live
-- Lock order: none
select * from backfill.stalled where %(task)s::text is null or task = %(task)s
