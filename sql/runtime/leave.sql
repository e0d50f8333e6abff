-- Purpose: Say goodbye; the last process ends the run.
-- Parameters: runner: this process's runner id; reason: why it leaves
-- Index: job_running
-- Lock order: runner row (update), job rows, run row
select backfill.leave(%(runner)s, %(reason)s)
