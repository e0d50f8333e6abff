-- Purpose: Let a task run at any hour.
-- Parameters: task
-- Index: task_window by primary key
-- Lock order: its row
select backfill.clear_window(%(task)s)
