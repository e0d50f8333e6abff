-- Purpose: Take a pause back.
-- Parameters: task: its name
-- Index: task by primary key
-- Lock order: task row
select backfill.resume(%(task)s)
