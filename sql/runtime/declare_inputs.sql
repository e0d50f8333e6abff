-- Purpose: Say which columns of a table are inputs of a task.
-- Parameters: task: its name; relation: the table; key: its column with the job's key; columns: the inputs
-- Index: input by task
-- Lock order: input row
select backfill.declare_inputs(%(task)s, %(relation)s::regclass, %(key)s, %(columns)s::text[])
