-- Purpose: Runs of a task that have not ended.
-- Parameters: task: its name
-- Index: run_not_ended
-- Lock order: none
select id as run, status from backfill.run where task = %(task)s and status <> 'ended' order by id
