-- Purpose: Finish a group of jobs that this process still holds, and apply their results.
-- Parameters: runner: this process's runner id; results: JSON array, see the function's comment
-- Index: job by primary key
-- Lock order: runner row (no key update), job rows, the application's rows in order of their keys
select * from backfill.finish(%(runner)s, %(results)s)
