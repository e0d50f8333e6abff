-- Purpose: Pause a task.
-- Parameters: task: its name; reason: in words, or null
-- Index: task by primary key
-- Lock order: task row
select backfill.pause(%(task)s, %(reason)s::text)
