-- Purpose: Watch the tables that a task reads.
-- Parameters: task: its name
-- Index: input by task
-- Lock order: share row exclusive on each of its tables, in the order of their declaration
select backfill.watch(%(task)s) as tables
