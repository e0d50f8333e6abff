-- Purpose: Let a task's rows be handed out between two times of day only.
-- Parameters: task; opens, closes: times of day; zone: time zone
-- Index: task_window by primary key
-- Lock order: its row
select backfill.set_window(%(task)s, %(opens)s::time, %(closes)s::time, %(zone)s)
