-- Purpose: Pause the task of a process that found that no row of it can be done, wherever.
-- Parameters: runner: this process's runner id; reason: in words
-- Index: runner and task by primary key
-- Lock order: task row
select backfill.halt(%(runner)s, %(reason)s)
