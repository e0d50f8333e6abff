-- Purpose: Watch the tables of a task no longer.
-- Parameters: task: its name
-- Index: input by task
-- Lock order: access exclusive on each of its tables, in the order of their declaration
select backfill.unwatch(%(task)s) as tables
