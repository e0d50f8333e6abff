-- Purpose: What a command before or after a run is told.
-- Parameters: moment: before_run or after_run; run: the run
-- Index: run by primary key, runner_by_run
-- Lock order: none
select backfill.hook_message(%(moment)s, %(run)s) as message
