-- Purpose: What the task's own function says of a run, where it has one.
-- Parameters: run: the run
-- Index: run by primary key; what the task's function reads
-- Lock order: none
select * from backfill.run_summary(%(run)s)
