-- Purpose: Let a task's rows be handed out at any time.
-- Parameters: task: its name
-- Index: task by primary key
-- Lock order: the window's row
select backfill.clear_window(%(task)s)
