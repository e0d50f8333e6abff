-- Purpose: A task's row.
-- Parameters: task: its name
-- Index: task by primary key
-- Lock order: none
select * from backfill.known_task(%(task)s)
