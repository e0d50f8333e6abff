-- Purpose: A run with its numbers.
-- Parameters: run: the run
-- Index: run by primary key, runner_by_run
-- Lock order: none
select * from backfill.runs where run = %(run)s
