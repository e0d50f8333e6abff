-- Purpose: The installed tasks that keep objects in a storage.
-- Parameters: none
-- Index: none (a small table)
-- Lock order: none
select t.name from backfill.storing_tasks() t (name)
