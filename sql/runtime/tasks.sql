-- Purpose: All installed tasks.
-- Parameters: none
-- Index: none (a small table)
-- Lock order: none
select * from backfill.task order by name
