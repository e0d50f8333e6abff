-- Purpose: Set the hours in which a task's rows are handed out.
-- Parameters: task; opens, closes: times of day; zone: their time zone
-- Index: task by primary key
-- Lock order: the window's row
select backfill.set_window(%(task)s, %(opens)s::time, %(closes)s::time, %(zone)s)
